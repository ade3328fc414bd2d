"""Image classifiers through transformers: any `image-classification` model whose labels describe a face."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.core.config import check_classifiers
from facestats.core.protocols import ModelError
from facestats.models.pretrained import find_pretrained, load_pretrained
from facestats.models.runtime import (
    LOADING,
    BatchThreads,
    describe_handle,
    pick_device,
    pick_precision,
    torch_dtype,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image

    from facestats.core.config import AttributeSettings, ClassifierSettings

log = logging.getLogger(__name__)

NEEDED = ("config.json", "preprocessor_config.json")


def classifiers(
    settings: Mapping[str, ClassifierSettings], attributes: Mapping[str, AttributeSettings]
) -> dict[str, HfClassifier]:
    """Make a handle on the classifier of each attribute that has one; each is loaded at its first use.

    Loading on a CPU sets two environment variables for the rest of the process, unless they are set already:
    ``ONEDNN_PRIMITIVE_CACHE_CAPACITY`` and ``LRU_CACHE_CAPACITY``, because batches of many shapes would otherwise fill
    memory with kernels.

    Parameters
    ----------
    settings
        Attribute to the classifier that labels it, such as ``cfg.classifiers``.
    attributes
        All attributes, such as ``cfg.attributes``.

    Returns
    -------
    Attribute to handle, for :func:`facestats.attributes.classify_faces`.

    Raises
    ------
    ValueError
        If `settings` name an attribute or option that is not among `attributes`; the message lists those that are.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import ClassifierSettings
    >>> project = fs.testing.example_project()
    >>> settings = ClassifierSettings(model="org/name", labels={"young": "child", "old": "elderly"})
    >>> fs.models.classifiers({"age": settings}, project.attributes)
    {'age': HfClassifier(model='org/name', device='auto', loaded=False)}
    """
    check_classifiers(settings, attributes)
    return {name: HfClassifier(s, tuple(attributes[name].options)) for name, s in settings.items()}


class HfClassifier:
    """A handle on an image classifier (protocol `ImageClassifier`): it loads on first use, pickles without weights.

    `name` holds the model, the revision of its weights, the precision, and which option each label stands for.

    Parameters
    ----------
    settings
        Model, labels, device, precision and size of a batch.
    options
        Options of the attribute, in the order of the columns.
    """

    def __init__(self, settings: ClassifierSettings, options: tuple[str, ...]) -> None:
        self.settings = settings
        self.options = options
        self._source: tuple[Path, str] | None = None
        self._precision: tuple[str, str] | None = None
        self._loaded: _Loaded | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    def __repr__(self) -> str:
        device = self._loaded.device if self._loaded else self.settings.device
        return describe_handle(
            self, model=self.settings.model, device=device, loaded=self._loaded is not None
        )

    @property
    def name(self) -> str:
        """Model, revision, precision, and the option of each label."""
        folder, revision = self._find()
        # the name of a folder belongs to the model, its place on the disk does not
        model = self.settings.model if folder.name.startswith(revision) else folder.name
        mapping = ", ".join(f"{label}={option}" for label, option in self.settings.labels.items())
        return f"{model}@{revision} {self._pick()[0]} ({mapping} of {', '.join(self.options)})"

    @property
    def folder(self) -> Path:
        """Folder with the files of the model."""
        return self._find()[0]

    @property
    def prefix(self) -> str:
        """Prefix of the names of its columns."""
        return self.settings.prefix

    @property
    def batch_size(self) -> int:
        """Number of pictures classified at a time."""
        return self.settings.batch_size

    def classify(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Compute the probability of each option for each picture; the labels of one option are added up.

        Parameters
        ----------
        images
            Aligned faces, RGB.

        Returns
        -------
        Probabilities, (n, n_options) float32. A row adds up to 1 if every label of the model stands for an option.

        Raises
        ------
        ModelError
            If the model is not found, cannot be loaded, has other labels than the settings name, or returns NaN.
        """
        if not images:
            return np.zeros((0, len(self.options)), dtype=np.float32)
        model = self._load()
        size = model.threads.part_size(len(images), largest=self.settings.batch_size)
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        probs = np.concatenate(model.threads.map(model.probabilities, parts))
        if not np.isfinite(probs).all():
            msg = f"the classifier {self.settings.model!r} returned NaN or infinity. Set its precision: fp32."
            raise ModelError(msg)
        return probs @ model.mapping(self.settings.labels, self.options)

    def _find(self) -> tuple[Path, str]:
        if self._source is None:
            self._source = find_pretrained(
                self.settings.model, needed=NEEDED, revision=self.settings.revision
            )
        return self._source

    def _pick(self) -> tuple[str, str]:
        if self._precision is None:
            self._precision = pick_precision(self.settings.precision, pick_device(self.settings.device))
            log.info("the classifier runs in %s", self._precision[1])
        return self._precision

    def _load(self) -> _Loaded:
        with LOADING:
            if self._loaded is None:
                device = pick_device(self.settings.device)
                loaded = _Loaded(
                    self.settings.model, self._find()[0], device=device, precision=self._pick()[0]
                )
                loaded.mapping(self.settings.labels, self.options)
                self._loaded = loaded
        return self._loaded


class _Loaded:
    """The model in memory."""

    def __init__(self, model: str, folder: Path, *, device: str, precision: str) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        classes = AutoModelForImageClassification, AutoImageProcessor
        self.network, self.processor = load_pretrained(
            model, folder, classes=classes, device=device, precision=precision
        )
        self.model, self.device, self.threads = model, device, BatchThreads(device)
        config = self.network.config
        self.labels = [config.id2label[i] for i in range(config.num_labels)]
        self.dtype = torch_dtype(precision)

    def mapping(self, given: Mapping[str, str | None], options: tuple[str, ...]) -> NDArray[np.float32]:
        """Return the matrix of zeros and ones that adds up labels to options, (n_labels, n_options)."""
        unknown = [label for label in given if label not in self.labels]
        missing = [label for label in self.labels if label not in given]
        if unknown or missing:
            msg = (
                f"the classifier {self.model!r} has the labels {self.labels}; `labels` in the configuration names"
                f" {unknown or 'none'} that it does not have, and leaves out {missing or 'none'}. Give each of its"
                f" labels an option ({', '.join(options)}) or null."
            )
            raise ModelError(msg)
        out = np.zeros((len(self.labels), len(options)), dtype=np.float32)
        for row, label in enumerate(self.labels):
            option = given[label]
            if option is not None:
                out[row, options.index(option)] = 1
        return out

    def probabilities(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return the softmax over the labels of the model, (n, n_labels)."""
        import torch

        with torch.inference_mode():
            inputs = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
            logits = self.network(pixel_values=inputs.to(device=self.device, dtype=self.dtype)).logits
            return logits.float().softmax(dim=-1).cpu().numpy()
