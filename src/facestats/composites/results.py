"""What the composites stage returns and the plots draw: pictures that know what they are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.composites.provenance import PictureWithMembers

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

ALPHA = 0.05
MAX_CAPTION = 80  # characters of a filter on a figure; the settings hold all of it
# eyes, brows, nose and mouth in every aligned crop: left, top, right, bottom as shares of its side
FEATURES = (0.27, 0.36, 0.73, 0.78)


@dataclass(frozen=True, eq=False)
class Composite(PictureWithMembers):
    """An average face and how it was made.

    Parameters
    ----------
    pixels
        The picture, (height, width, 3) uint8.
    sd
        Standard deviation over the faces, (height, width) float32, in grey levels of 0 to 255.
    shape
        Mean landmarks in pixels, (points, 2), in the order of ``warp.WARPED``; None without landmarks.
    members
        `image_id` of every face in it.
    weights
        Weight of each member; they sum to one.
    method
        How it was made: mean, warp, morph or symmetric.
    settings
        Everything else that decided the result, ready for JSON.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    sd: NDArray[np.float32] = field(repr=False)
    shape: NDArray[np.float64] | None = field(repr=False)
    members: tuple[str, ...] = field(repr=False)
    weights: tuple[float, ...] = field(repr=False)
    method: str
    settings: dict[str, Any]

    @property
    def image(self) -> Image.Image:
        """The picture."""
        from PIL import Image

        return Image.fromarray(self.pixels)

    @property
    def caption(self) -> str:
        """Method, number of faces, filter (its beginning, if long), and what was relaxed: what a figure must say."""
        where = self.settings.get("where") or ""
        parts = [f"{self.method}, n = {self.n}"]
        parts += [where if len(where) <= MAX_CAPTION else f"{where[: MAX_CAPTION - 1]}…"] if where else []
        parts += [f"relaxed: {', '.join(relaxed)}"] if (relaxed := self.settings.get("relaxed")) else []
        return "\n".join(parts)

    @property
    def sharpness(self) -> float:
        """How sharply eyes, nose and mouth show: variance of the Laplacian there (Pech-Pacheco et al. 2000).

        A Gaussian of 1/256 of the side comes first: finer detail in an average is noise of single faces.
        """
        import cv2

        height, width = self.pixels.shape[:2]
        left, top, right, bottom = (round(f * s) for f, s in zip(FEATURES, (width, height) * 2, strict=True))
        grey = cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY).astype(np.float64)
        edges = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), height / 256), cv2.CV_64F)
        return float(edges[top:bottom, left:right].var())


@dataclass(frozen=True, eq=False)
class GroupDifference(PictureWithMembers):
    """Where the average faces of two groups differ, tested by permutation.

    As a picture it is grey level 128 plus the difference; :func:`facestats.plots.difference_map` draws it with a
    scale and an outline of what is significant.

    Parameters
    ----------
    difference
        Mean lightness of the first group minus that of the second, (height, width) float32, grey levels.
    t
        Student's t per pixel (pooled variance), same shape.
    p
        Probability per pixel that the largest |t| of all pixels reaches this one by chance, same shape:
        corrected for the number of pixels.
    names
        What the groups are called.
    counts
        How many faces they have.
    members
        `image_id` of every face, those of the first group before those of the second.
    settings
        Everything else that decided the result.
    """

    difference: NDArray[np.float32] = field(repr=False)
    t: NDArray[np.float32] = field(repr=False)
    p: NDArray[np.float32] = field(repr=False)
    names: tuple[str, str]
    counts: tuple[int, int]
    members: tuple[str, ...] = field(repr=False)
    settings: dict[str, Any]
    method: str = field(default="difference", init=False)

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each member in the difference: those of the second group count below zero."""
        n_first, n_second = self.counts
        return (1 / n_first,) * n_first + (-1 / n_second,) * n_second

    @property
    def image(self) -> Image.Image:
        """The difference as a picture: grey level 128 is none, lighter is where the first group is lighter."""
        return _picture(128 + self.difference)

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Pixels whose difference chance does not explain: p of 0.05 or less."""
        return self.p <= ALPHA


@dataclass(frozen=True, eq=False)
class Eigenfaces(PictureWithMembers):
    """Principal components of faces: the directions in which they differ most.

    As a picture it has a row per component, the strongest on top, that walks from -3 to 3 standard deviations.

    Parameters
    ----------
    mean
        Mean picture, (height, width, 3) float32.
    components
        Unit vectors, (k, height, width, 3) float32, the strongest first.
    sd
        Standard deviation of the faces along each component, (k,).
    explained
        Share of the variance that each component explains, (k,).
    members
        `image_id` of every face.
    settings
        Everything else that decided the result.
    """

    mean: NDArray[np.float32] = field(repr=False)
    components: NDArray[np.float32] = field(repr=False)
    sd: NDArray[np.float32]
    explained: NDArray[np.float32]
    members: tuple[str, ...] = field(repr=False)
    settings: dict[str, Any]
    method: str = field(default="eigenfaces", init=False)

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each member: all count alike."""
        return (1 / self.n,) * self.n

    @property
    def image(self) -> Image.Image:
        """The walks along all components, one below the other."""
        return _picture(np.vstack([np.hstack([*self.walk(i)]) for i in range(len(self.sd))]))

    def walk(self, component: int, *, steps: tuple[float, ...] = (-3, -1.5, 0, 1.5, 3)) -> NDArray[np.uint8]:
        """Pictures along one component, (steps, height, width, 3) uint8; steps in standard deviations."""
        if not 0 <= component < len(self.sd):
            msg = f"component must be 0 to {len(self.sd) - 1}, got {component}"
            raise ValueError(msg)
        along = np.asarray(steps, dtype=np.float32)[:, None, None, None] * self.sd[component]
        return _grey_levels(self.mean + along * self.components[component])


def _picture(values: NDArray[np.number]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(_grey_levels(values))


def _grey_levels(values: NDArray[np.number]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
