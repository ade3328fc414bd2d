"""Image classifiers through transformers: any `image-classification` model that says something about a face."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.core.config import check_classifiers
from facestats.core.protocols import ModelError
from facestats.models.pretrained import find_pretrained, load_pretrained
from facestats.models.runtime import LOADING, Lanes, pick_device, pick_precision, torch_dtype

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
    """Make a handle on the classifier of each attribute that has one; nothing is loaded before it is needed.

    Raises
    ------
    ValueError
        If an attribute or option is not among `attributes`; lists those that are.
    """
    check_classifiers(settings, attributes)
    return {name: HfClassifier(s, tuple(attributes[name].options)) for name, s in settings.items()}


class HfClassifier:
    """A handle on an image classifier (protocol `ImageClassifier`): loads on first use, pickles without weights.

    `name` holds the model, the revision of its weights, the precision, and what its labels stand for.
    """

    def __init__(self, settings: ClassifierSettings, options: tuple[str, ...]) -> None:
        self.settings = settings
        self.options = options
        self._source: tuple[Path, str] | None = None
        self._precision: tuple[str, str] | None = None
        self._loaded: _Loaded | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_loaded": None}

    @property
    def name(self) -> str:
        """Model, revision, precision and mapping."""
        folder, revision = self._find()
        # where a folder lies changes no probability
        model = self.settings.model if folder.name.startswith(revision) else folder.name
        mapping = ", ".join(f"{label}={option}" for label, option in self.settings.labels.items())
        return f"{model}@{revision} {self._pick()[0]} ({mapping} of {', '.join(self.options)})"

    @property
    def folder(self) -> Path:
        """Where the files of the model lie."""
        return self._find()[0]

    @property
    def prefix(self) -> str:
        """Start of the names of its columns."""
        return self.settings.prefix

    @property
    def batch_size(self) -> int:
        """Pictures classified at a time."""
        return self.settings.batch_size

    def classify(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Probability of each option for each RGB picture, (n, n_options); several labels of an option add up.

        Parameters
        ----------
        images
            Aligned faces.

        Returns
        -------
        Rows add up to 1 where every label of the model stands for an option.
        """
        if not images:
            return np.zeros((0, len(self.options)), dtype=np.float32)
        model = self._load()
        size = model.lanes.part_size(len(images), largest=self.settings.batch_size)
        parts = [images[start : start + size] for start in range(0, len(images), size)]
        probs = np.concatenate(model.lanes.map(model.probabilities, parts))
        if not np.isfinite(probs).all():
            msg = f"the classifier {self.settings.model!r} returned NaN; set its precision: fp32"
            raise ModelError(msg)
        return probs @ model.mapping(self.settings.labels, self.options)

    def _find(self) -> tuple[Path, str]:
        if self._source is None:
            self._source = find_pretrained(self.settings.model, needed=NEEDED)
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
        self.model, self.device, self.lanes = model, device, Lanes(device)
        config = self.network.config
        self.labels = [config.id2label[i] for i in range(config.num_labels)]
        self.dtype = torch_dtype(precision)

    def mapping(self, given: Mapping[str, str | None], options: tuple[str, ...]) -> NDArray[np.float32]:
        """Matrix from labels to options, (n_labels, n_options), of zeros and ones."""
        unknown = [label for label in given if label not in self.labels]
        missing = [label for label in self.labels if label not in given]
        if unknown or missing:
            msg = (
                f"the classifier {self.model!r} has the labels {self.labels}; `labels` in the configuration names"
                f" {unknown or 'none'} beside them and leaves out {missing or 'none'}. Give each of its labels an"
                f" option ({', '.join(options)}) or null."
            )
            raise ModelError(msg)
        out = np.zeros((len(self.labels), len(options)), dtype=np.float32)
        for row, label in enumerate(self.labels):
            option = given[label]
            if option is not None:
                out[row, options.index(option)] = 1
        return out

    def probabilities(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Softmax over the labels of the model, (n, n_labels)."""
        import torch

        with torch.inference_mode():
            inputs = self.processor(images=list(images), return_tensors="pt")["pixel_values"]
            logits = self.network(pixel_values=inputs.to(device=self.device, dtype=self.dtype)).logits
            return logits.float().softmax(dim=-1).cpu().numpy()
