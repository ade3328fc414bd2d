"""CLIP through open_clip: pictures and texts into unit vectors of one space."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.models.class_token import skip_unread_tokens
from facestats.models.clip_files import Source, build_network, find_source, get_tokenizer
from facestats.models.runtime import LOADING, Lanes, check_finite, pick_device, pick_precision, torch_dtype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from facestats.core.config import EmbeddingsSettings

log = logging.getLogger(__name__)

# rows of one call on a processor: beyond about 32 the activations of a ViT-B leave the caches
LARGEST_PART = 32
REMEMBERED = 1024  # texts of a call whose vectors are kept


def clip(settings: EmbeddingsSettings) -> Clip:
    """Make a handle on the CLIP model of `settings`; nothing is loaded before it is needed."""
    return Clip(settings)


class Clip:
    """A handle on an open_clip model (protocol `Encoder`): loads on first use, pickles without weights.

    `name` holds the model, the revision of its weights (commit, or hash of the files) and the precision,
    because each of them changes the vectors.
    """

    def __init__(self, settings: EmbeddingsSettings) -> None:
        self.settings = settings
        self._source: Source | None = None
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
    def folder(self) -> Path:
        """Where the files of the model lie."""
        return Path(self._find().folder)

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

    def _find(self) -> Source:
        if self._source is None:
            self._source = find_source(self.settings.model)
        return self._source

    def _pick(self) -> tuple[str, str]:
        if self._precision is None:
            device = pick_device(self.settings.device)
            self._precision = pick_precision(self.settings.precision, device)
            log.info("CLIP runs in %s", self._precision[1])
        return self._precision

    def _load(self) -> _Loaded:
        with LOADING:
            if self._loaded is None:
                device = pick_device(self.settings.device)
                self._loaded = _Loaded(
                    self.settings.model, self._find(), device=device, precision=self._pick()[0]
                )
        return self._loaded


class _Loaded:
    """The model in memory."""

    def __init__(self, model: str, source: Source, *, device: str, precision: str) -> None:
        import torch

        self.device, self.dtype = device, torch_dtype(precision)
        network = build_network(model, source)
        check_finite(network, model)
        self.logit_scale = float(network.logit_scale.detach().exp())
        self.network = network.to(device=device, dtype=self.dtype).eval().requires_grad_(requires_grad=False)
        skip_unread_tokens(self.network.visual)
        self.tokenizer = get_tokenizer(model, source)
        self.lanes = Lanes(device)
        self.mean = torch.tensor(source.preprocess.mean, device=device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(source.preprocess.std, device=device).view(1, 3, 1, 1) * 255
        # the prompts of a configuration come again with every chunk and every request
        self._remember = functools.lru_cache(maxsize=4)(self._encode_all)
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
        encode = self._remember if len(texts) <= REMEMBERED else self._encode_all
        return encode(tuple(texts), batch_size).copy()

    def _encode_all(self, texts: tuple[str, ...], batch_size: int) -> NDArray[np.float32]:
        parts = [list(texts[start : start + batch_size]) for start in range(0, len(texts), batch_size)]
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
