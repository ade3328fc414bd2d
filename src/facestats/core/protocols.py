"""The interfaces of the models that stages accept; `facestats.models` and `facestats.testing` implement them.

Every model has a `name` that identifies its weights (with their revision or hash): the store recomputes a table
when the name changes. A model object is a light handle: it loads the weights on first use and pickles without
them, so that it can be sent to worker processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


# affine maps (weight (inputs, outputs), bias (outputs,)) with tanh between them; the last has one output
Layers: TypeAlias = "list[tuple[NDArray[np.float64], NDArray[np.float64]]]"


class ModelError(RuntimeError):
    """A model cannot be loaded or used; the message names it, where it was searched, and what to do."""


@dataclass(frozen=True)
class Face:
    """One face in one picture, in pixels of the upright picture.

    Parameters
    ----------
    points
        FaceMesh landmarks, (478, 2) float32, x to the right and y down; None if only a box is known.
    depth
        z of the same points, (478,) float32, in the scale of x, smaller is nearer; None if unknown.
    box
        Bounding box: x0, y0, x1, y1.
    score
        Confidence of the detector, 0 to 1; NaN if the detector gives none.
    detector
        Name and version of the detector.
    """

    points: NDArray[np.float32] | None
    depth: NDArray[np.float32] | None
    box: tuple[float, float, float, float]
    score: float
    detector: str


class Landmarker(Protocol):
    """Finds faces and their landmarks."""

    @property
    def name(self) -> str:
        """Name of the model, which identifies its weights."""

    def find(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Return the faces in an upright RGB picture, (height, width, 3) uint8; an empty list if there is none."""


class Encoder(Protocol):
    """Encodes pictures and texts as unit vectors of one shared space.

    `dim` is the number of dimensions; `logit_scale` is the factor on cosines before a softmax (the inverse of the
    model's temperature). `prepare` needs no weights: it runs in worker processes, so its pickle must be small.
    """

    @property
    def name(self) -> str:
        """Name of the model, which identifies its weights."""

    @property
    def dim(self) -> int:
        """Number of dimensions of the vectors."""

    @property
    def input_side(self) -> int:
        """Longer side of the model's input, in pixels; pictures need not be decoded much larger."""

    @property
    def logit_scale(self) -> float:
        """Factor on cosine similarities before a softmax."""

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Resize and crop an RGB picture to the model's input, (height, width, 3) uint8."""

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode prepared pictures, (n, height, width, 3) uint8, into (n, dim) unit vectors."""

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into (n, dim) unit vectors."""


class TextClassifier(Protocol):
    """Estimates whether a text entails each of several hypotheses (natural language inference)."""

    @property
    def name(self) -> str:
        """Name of the model, which identifies its weights."""

    def score(self, texts: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float32]:
        """Return logits, (n_texts, n_hypotheses, 2) float32: contradiction and entailment."""


class ImageClassifier(Protocol):
    """Estimates which option of one attribute an aligned face shows.

    `options` are those of the attribute, in order; `prefix` is the first part of the column names; `batch_size` is
    the number of pictures per call.
    """

    @property
    def name(self) -> str:
        """Name of the model, which stands for it in the provenance."""

    options: tuple[str, ...]
    prefix: str
    batch_size: int

    def classify(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return the probability of each option, (n, n_options) float32; 1 minus their sum is that of no option."""


class Regressor(Protocol):
    """Predicts a number from features; chooses its own settings from the training data alone."""

    @property
    def name(self) -> str:
        """Name of the model, which stands for it in the provenance."""

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        *,
        groups: NDArray[np.int64],
        seed: int,
    ) -> Layers:
        """Fit the target (n,) from features (n, p); inner splits never divide the rows of one of the `groups` (n,)."""
