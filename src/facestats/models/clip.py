"""CLIP through open_clip: pictures and texts into unit vectors of one space."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.models.class_token import skip_unread_tokens
from facestats.models.clip_files import Source, build_network, find_source, get_tokenizer
from facestats.models.domain import Domain, find_domain
from facestats.models.runtime import (
    LOADING,
    BatchThreads,
    check_finite,
    describe_handle,
    pick_device,
    pick_precision,
    torch_dtype,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from facestats.core.config import EmbeddingsSettings

log = logging.getLogger(__name__)

# pictures of one call on a CPU: with more than about 32, the activations of a ViT-B no longer fit the caches
LARGEST_PART = 32
MAX_CACHED_TEXTS = 1024  # the vectors of calls with more texts are not cached


def clip(settings: EmbeddingsSettings) -> Clip:
    """Make a handle on a CLIP model of open_clip; it is loaded at its first use.

    Importing open_clip sets the environment variable ``TOKENIZERS_PARALLELISM`` to false for the rest of the process.
    Loading on a CPU sets ``ONEDNN_PRIMITIVE_CACHE_CAPACITY`` and ``LRU_CACHE_CAPACITY``, unless they are set already,
    because batches of many shapes would otherwise fill memory with kernels.

    Parameters
    ----------
    settings
        `model` (``model/pretrained``, ``hf-hub:org/name`` or ``local-dir:folder``), `device`, `precision` and
        `batch_size` (of texts) are used.

    Returns
    -------
    A handle for :func:`facestats.embed_faces`, :func:`facestats.label_attributes` and other functions that take an
    encoder.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import EmbeddingsSettings
    >>> fs.models.clip(EmbeddingsSettings())
    Clip(model='ViT-B-32-quickgelu/openai', device='auto', loaded=False)
    """
    return Clip(settings)


class Clip:
    """A handle on an open_clip model (protocol `Encoder`): it loads on first use and pickles without weights.

    `name` holds the model, the revision of its weights (commit, or hash of the files) and the precision,
    because each of them changes the vectors.

    Parameters
    ----------
    settings
        As for :func:`facestats.models.clip`.

    Examples
    --------
    The model of the demo, which comes with the package:

    >>> import facestats as fs
    >>> from facestats.core.config import PACKAGE, EmbeddingsSettings
    >>> folder = PACKAGE / "demo" / "clip"
    >>> demo = fs.models.clip(EmbeddingsSettings(model=f"local-dir:{folder}", device="cpu"))
    >>> demo.input_side  # known without the weights
    176
    >>> demo.encode_texts(["a woman", "a man"]).shape
    (2, 128)
    """

    def __init__(self, settings: EmbeddingsSettings) -> None:
        self.settings = settings
        self._source: Source | None = None
        self._precision: tuple[str, str] | None = None
        self._loaded: _Loaded | None = None

    def __getstate__(self) -> dict[str, Any]:
        self._find()  # a worker process gets what it needs to prepare pictures, and never searches for weights
        return {**self.__dict__, "_loaded": None}

    def __repr__(self) -> str:
        device = self._loaded.device if self._loaded else self.settings.device
        return describe_handle(
            self, model=self.settings.model, device=device, loaded=self._loaded is not None
        )

    @property
    def name(self) -> str:
        """Model, revision and precision."""
        scheme, _, rest = self.settings.model.partition(":")
        # the name of a folder belongs to the model, its place on the disk does not
        model = f"{scheme}:{Path(rest).name}" if scheme == "local-dir" else self.settings.model
        return f"{model}@{self._find().revision} {self._pick()[0]}"

    @property
    def folder(self) -> Path:
        """Folder with the files of the model."""
        return Path(self._find().folder)

    @property
    def domain(self) -> Domain | None:
        """The only kind of pictures that the model knows, if its folder says so; else None."""
        return find_domain(self.settings.model)

    @property
    def precision_reason(self) -> str:
        """The chosen precision, and the reason for it."""
        return self._pick()[1]

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._load().dim

    @property
    def logit_scale(self) -> float:
        """Factor on cosines before a softmax: the inverse of the temperature that the model learned."""
        return self._load().logit_scale

    @property
    def input_side(self) -> int:
        """Longer side of the model's input, in pixels."""
        return max(self._find().preprocess.size)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop an RGB picture to the model's input.

        Parameters
        ----------
        image
            A picture of mode RGB.

        Returns
        -------
        (height, width, 3) uint8. No weights are needed, so worker processes can do it.
        """
        return self._find().preprocess.apply(image)

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode prepared pictures.

        Parameters
        ----------
        pixels
            Results of :meth:`prepare`, (n, height, width, 3) uint8.

        Returns
        -------
        Unit vectors, (n, dim) float32.
        """
        return self._load().encode_images(pixels)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts; the vectors of the last four calls with at most 1,024 texts are cached.

        Parameters
        ----------
        texts
            Texts; the model reads the first 77 tokens of each, or as many as its configuration names.

        Returns
        -------
        Unit vectors, (n, dim) float32.
        """
        return self._load().encode_texts(list(texts), self.settings.batch_size)

    def _find(self) -> Source:
        if self._source is None:
            self._source = find_source(self.settings.model, self.settings.revision)
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
        self.threads = BatchThreads(device)
        self.mean = torch.tensor(source.preprocess.mean, device=device).view(1, 3, 1, 1) * 255
        self.std = torch.tensor(source.preprocess.std, device=device).view(1, 3, 1, 1) * 255
        # the same prompts are encoded for every chunk and every request
        self._encode_cached = functools.lru_cache(maxsize=4)(self._encode_all)
        self.dim = self.encode_texts(["a"], 1).shape[1]

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        size = (
            self.threads.part_size(len(pixels), largest=LARGEST_PART) if self.device == "cpu" else len(pixels)
        )
        parts = [pixels[start : start + size] for start in range(0, len(pixels), size)]
        return np.concatenate(self.threads.map(self._encode_pixels, parts))

    def encode_texts(self, texts: list[str], batch_size: int) -> NDArray[np.float32]:
        if not texts:
            return np.zeros((0, self.dim), dtype=np.float32)
        encode = self._encode_cached if len(texts) <= MAX_CACHED_TEXTS else self._encode_all
        return encode(tuple(texts), batch_size).copy()

    def _encode_all(self, texts: tuple[str, ...], batch_size: int) -> NDArray[np.float32]:
        parts = [list(texts[start : start + batch_size]) for start in range(0, len(texts), batch_size)]
        return np.concatenate(self.threads.map(self._encode_tokens, parts))

    def _encode_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            # (n, h, w, 3) in memory is channels_last, the fastest layout for the first convolution
            batch = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(0, 3, 1, 2)
            scaled = batch.float().sub_(self.mean).div_(self.std).to(self.dtype)
            return _unit(self.network.encode_image(scaled))

    def _encode_tokens(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            return _unit(self.network.encode_text(self.tokenizer(texts).to(self.device)))


def _unit(vectors: Any) -> NDArray[np.float32]:
    import torch

    return torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()
