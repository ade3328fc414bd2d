"""CLIP through open_clip: pictures and texts into unit vectors of one space."""

from __future__ import annotations

import difflib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.core.protocols import ModelError
from facestats.models.preprocess import Preprocess
from facestats.models.runtime import Lanes, check_finite, pick_device, pick_precision, torch_dtype
from facestats.models.shortcut import skip_unread_tokens
from facestats.models.weights import hash_files, hub_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from facestats.core.config import EmbeddingsSettings

log = logging.getLogger(__name__)

CONFIG = "open_clip_config.json"
# names under which open_clip looks for weights; pickles are read with weights_only
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
)
# rows of one call on a processor: beyond about 32 the activations of a ViT-B leave the caches
LARGEST_PART = 32


def clip(settings: EmbeddingsSettings) -> Clip:
    """Make a handle on the CLIP model of `settings`; nothing is loaded before it is needed."""
    return Clip(settings)


@dataclass(frozen=True)
class _Source:
    """Where the weights lie, which they are, and how to build the model round them."""

    folder: str
    revision: str
    preprocess: Preprocess
    architecture: str | None = None
    weights: str | None = None
    quick_gelu: bool = False


class Clip:
    """A handle on an open_clip model (protocol `Encoder`): loads on first use, pickles without weights.

    `name` holds the model, the revision of its weights (commit, or hash of the files) and the precision,
    because each of them changes the vectors.
    """

    def __init__(self, settings: EmbeddingsSettings) -> None:
        self.settings = settings
        self._source: _Source | None = None
        self._precision: tuple[str, str] | None = None
        self._loaded: _Loaded | None = None

    def __getstate__(self) -> dict[str, Any]:
        self._find()  # a worker gets what it needs to prepare pictures, and never looks for weights
        return {**self.__dict__, "_loaded": None}

    @property
    def name(self) -> str:
        """Model, revision and precision."""
        scheme, _, rest = self.settings.model.partition(":")
        # where a folder lies changes no vector
        model = f"{scheme}:{Path(rest).name}" if scheme == "local-dir" else self.settings.model
        return f"{model}@{self._find().revision} {self._pick()[0]}"

    @property
    def precision_reason(self) -> str:
        """Which precision was chosen, and why."""
        return self._pick()[1]

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._load().dim

    @property
    def logit_scale(self) -> float:
        """Factor on cosines before a softmax: the temperature that the model learnt, inverted."""
        return self._load().logit_scale

    @property
    def input_side(self) -> int:
        """Pixels of the longer side of what the model sees."""
        return max(self._find().preprocess.size)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop an RGB picture to the model's input, (height, width, 3) uint8."""
        return self._find().preprocess.apply(image)

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode prepared pictures, (n, height, width, 3) uint8, into (n, dim) unit vectors."""
        return self._load().encode_images(pixels)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into (n, dim) unit vectors."""
        return self._load().encode_texts(list(texts), self.settings.batch_size)

    def _find(self) -> _Source:
        if self._source is None:
            self._source = _find_source(self.settings.model)
        return self._source

    def _pick(self) -> tuple[str, str]:
        if self._precision is None:
            device = pick_device(self.settings.device)
            self._precision = pick_precision(self.settings.precision, device)
            log.info("CLIP runs in %s", self._precision[1])
        return self._precision

    def _load(self) -> _Loaded:
        if self._loaded is None:
            device = pick_device(self.settings.device)
            self._loaded = _Loaded(
                self.settings.model, self._find(), device=device, precision=self._pick()[0]
            )
        return self._loaded


class _Loaded:
    """The model in memory."""

    def __init__(self, model: str, source: _Source, *, device: str, precision: str) -> None:
        import torch

        self.device, self.dtype = device, torch_dtype(precision)
        network = _build(model, source)
        check_finite(network, model)
        self.logit_scale = float(network.logit_scale.detach().exp())
        self.network = network.to(device=device, dtype=self.dtype).eval().requires_grad_(requires_grad=False)
        skip_unread_tokens(self.network.visual)
        self.tokenizer = _tokenizer(model, source)
        self.lanes = Lanes(device)
        self.mean = torch.tensor(source.preprocess.mean, device=device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(source.preprocess.std, device=device).view(1, 3, 1, 1) * 255
        self.dim = self.encode_texts(["a"], 1).shape[1]

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        size = (
            self.lanes.part_size(len(pixels), largest=LARGEST_PART) if self.device == "cpu" else len(pixels)
        )
        parts = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        return np.concatenate(self.lanes.map(self._encode_pixels, parts))

    def encode_texts(self, texts: list[str], batch_size: int) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        parts = [texts[start : start + batch_size] for start in range(0, len(texts), batch_size)]
        return np.concatenate(self.lanes.map(self._encode_words, parts))

    def _encode_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            # (n, h, w, 3) in memory is channels_last, which the first convolution likes best
            batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(0, 3, 1, 2)
            scaled = batch.float().sub_(self.mean).div_(self.std).to(self.dtype)
            return _unit(self.network.encode_image(scaled))

    def _encode_words(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return _unit(self.network.encode_text(self.tokenizer(texts).to(self.device)))


def _unit(vectors: Any) -> NDArray[np.float32]:
    import torch

    return torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()


def _find_source(model: str) -> _Source:
    """Find the files of a model, by the form of its name."""
    scheme, _, rest = model.partition(":")
    if scheme == "local-dir":
        return _from_folder(Path(rest).expanduser(), model)
    if scheme == "hf-hub":
        folder, revision = hub_folder(rest, required=(CONFIG,), weights=WEIGHTS, setting=model)
        return _Source(str(folder), revision[:12], _read_config(folder / CONFIG, model))
    return _from_tag(model)


def _from_folder(folder: Path, model: str) -> _Source:
    if not (folder / CONFIG).is_file():
        msg = (
            f"the model {model!r} was not found: there is no {folder.absolute() / CONFIG}. Put an open_clip"
            f" model there (open_clip_train or `open_clip.push_to_hf_hub` write such folders: {CONFIG} and"
            f" {WEIGHTS[0]}), or correct embeddings.model in the configuration."
        )
        raise ModelError(msg)
    weights = [p for s in ("*.safetensors", "*.bin", "*.pth") for p in folder.glob(s)]
    if not weights:
        msg = f"the model {model!r} has no weights: put {WEIGHTS[0]} into {folder.absolute()}"
        raise ModelError(msg)
    others = [p for s in ("*.json", "*.txt", "*.model") for p in folder.glob(s)]
    return _Source(str(folder), hash_files([*weights, *others]), _read_config(folder / CONFIG, model))


def _from_tag(model: str) -> _Source:
    """Find the weights of a `model/pretrained` pair of open_clip, which all lie on the Hugging Face hub."""
    import open_clip

    architecture, _, tag = model.rpartition("/")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        known = tags or sorted({name for name, _ in open_clip.list_pretrained()})
        near = difflib.get_close_matches(tag if tags else architecture, known, n=3, cutoff=0.3) or known[:3]
        msg = (
            f"the model {model!r} is not known to open_clip {open_clip.__version__}; near to it are {near}."
            " A model is named model/pretrained, such as ViT-B-32-quickgelu/openai, hf-hub:org/name or"
            " local-dir:folder."
        )
        raise ModelError(msg)
    entry = open_clip.get_pretrained_cfg(architecture, tag)
    repo, _, file = entry["hf_hub"].rpartition("/")
    names = (file.rsplit(".", 1)[0] + ".safetensors", file) if file else WEIGHTS
    folder, revision = hub_folder(repo, required=(), weights=names, setting=model)
    weights = next(folder / n for n in names if (folder / n).is_file())
    size = open_clip.get_model_config(architecture)["vision_cfg"]["image_size"]
    keys: dict[str, Any] = {
        k: entry[k] for k in ("interpolation", "resize_mode", "mean", "std") if entry.get(k)
    }
    return _Source(
        str(folder),
        revision[:12],
        Preprocess(_pair(size), **keys),
        architecture=architecture,
        weights=str(weights),
        quick_gelu=bool(entry.get("quick_gelu")),
    )


def _read_config(file: Path, model: str) -> Preprocess:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        wanted = config.get("preprocess_cfg", {})
        size = _pair(config["model_cfg"]["vision_cfg"]["image_size"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"the model {model!r} cannot be used: {file} is not an open_clip configuration ({error!r})"
        raise ModelError(msg) from error
    keys: dict[str, Any] = {
        k: wanted[k] for k in ("interpolation", "resize_mode", "mean", "std") if wanted.get(k)
    }
    if wanted.get("fill_color"):
        keys["fill"] = wanted["fill_color"]
    keys |= {k: tuple(v) for k, v in keys.items() if isinstance(v, list)}
    return Preprocess(size, **keys)


def _pair(size: int | list[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _build(model: str, source: _Source) -> Any:
    import open_clip
    from safetensors import SafetensorError

    try:
        if source.architecture is None:
            return open_clip.create_model(f"local-dir:{source.folder}", require_pretrained=True)
        return open_clip.create_model(
            source.architecture,
            pretrained=source.weights,
            # weights trained with QuickGELU give wrong vectors without it, whatever the name says
            force_quick_gelu=source.quick_gelu,
            require_pretrained=True,
        )
    except (SafetensorError, RuntimeError, ValueError, OSError, KeyError, TypeError) as error:
        msg = f"the model {model!r} in {source.folder} cannot be loaded: {error}. Copy its files again."
        raise ModelError(msg) from error


def _tokenizer(model: str, source: _Source) -> Any:
    import open_clip

    try:
        return open_clip.get_tokenizer(source.architecture or f"local-dir:{source.folder}")
    except (RuntimeError, ValueError, OSError, ImportError) as error:
        msg = f"the tokenizer of the model {model!r} cannot be loaded: {error}"
        raise ModelError(msg) from error
