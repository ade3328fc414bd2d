"""The shapes of the models that stages accept; `models` and `core.testing` implement them.

Every model has a `name` that tells its weights apart from all others (revision or hash included):
the store recomputes a table when the name changes. Handles are light: they load on first use and
pickle without their weights, so they travel to worker processes.
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
    """A model cannot be had or used; the text names it, where it was looked for, and what to do."""


@dataclass(frozen=True)
class Face:
    """One face in one picture, in pixels of the upright picture.

    Parameters
    ----------
    points
        FaceMesh landmarks, (478, 2) float32, x to the right and y down; None where only a box is known.
    depth
        z of the same points, (478,) float32, in the scale of x, smaller is nearer; None if unknown.
    box
        x0, y0, x1, y1.
    score
        Confidence of the detector, 0 to 1; NaN where it gives none.
    detector
        Name and version of what found the face.
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
        """The model, told apart from all others."""

    def find(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Return the faces in an upright RGB picture, (height, width, 3) uint8; none is an empty list."""


class Encoder(Protocol):
    """Turns pictures and texts into unit vectors of one shared space.

    `dim` is their length, `logit_scale` the factor on cosines before a softmax (the model's own
    temperature, inverted). `prepare` is the part of the work that needs no weights: it runs in worker
    processes and must pickle small.
    """

    @property
    def name(self) -> str:
        """The model, told apart from all others."""

    @property
    def dim(self) -> int:
        """Length of the vectors."""

    @property
    def input_side(self) -> int:
        """Pixels of the longer side of what the model sees: pictures need not be decoded much larger."""

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
    """Says how far a text entails each of several hypotheses (natural language inference)."""

    @property
    def name(self) -> str:
        """The model, told apart from all others."""

    def score(self, texts: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float32]:
        """Return logits, (n_texts, n_hypotheses, 2) float32: contradiction and entailment."""


class ImageClassifier(Protocol):
    """Says which option of one attribute an aligned face shows.

    `options` are those of the attribute, in order; `prefix` starts the names of the columns; `batch_size` pictures
    are classified at a time.
    """

    name: str
    options: tuple[str, ...]
    prefix: str
    batch_size: int

    def classify(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return the probability of each option, (n, n_options) float32; what is missing to 1 means none of them."""


class Regressor(Protocol):
    """Learns a number from features, and chooses its own settings from the training part alone."""

    name: str

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        *,
        groups: NDArray[np.int64],
        seed: int,
    ) -> Layers:
        """Fit features (n, p) to a target (n,); rows of one group never lie on both sides of an inner split."""
