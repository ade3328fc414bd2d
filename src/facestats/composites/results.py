"""Results of the composites stage: average faces, differences of groups, and eigenfaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.composites.provenance import PictureWithMembers

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

ALPHA = 0.05  # p up to which a pixel differs significantly
MAX_CAPTION = 80  # characters of a filter in a caption; the settings hold the whole filter
# the box of eyes, brows, nose and mouth in an aligned crop: left, top, right, bottom as shares of its side
FEATURE_BOX = (0.27, 0.36, 0.73, 0.78)


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
        `image_id` of every face.
    weights
        Weight of each member; they sum to one.
    method
        How it was made: mean, warp, morph or symmetric.
    settings
        All other settings that affect the result, as values that JSON can hold.
    """

    pixels: NDArray[np.uint8] = field(repr=False)
    sd: NDArray[np.float32] = field(repr=False)
    shape: NDArray[np.float64] | None = field(repr=False)
    members: tuple[str, ...] = field(repr=False)
    weights: tuple[float, ...] = field(repr=False)
    method: str
    settings: dict[str, Any]

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        return f"Composite({self.caption.replace(chr(10), ', ')}, {width} x {height} pixels)"

    @property
    def image(self) -> Image.Image:
        """The picture."""
        from PIL import Image

        return Image.fromarray(self.pixels)

    @property
    def caption(self) -> str:
        """Caption for a figure: method, number of faces, filter (shortened if long) and relaxed conditions."""
        where = self.settings.get("where") or ""
        parts = [f"{self.method}, n = {self.n}"]
        parts += [where if len(where) <= MAX_CAPTION else f"{where[: MAX_CAPTION - 1]}…"] if where else []
        parts += [f"relaxed: {', '.join(relaxed)}"] if (relaxed := self.settings.get("relaxed")) else []
        return "\n".join(parts)

    @property
    def sharpness(self) -> float:
        """Sharpness of eyes, nose and mouth: variance of the Laplacian there (Pech-Pacheco et al. 2000).

        The picture is first smoothed by a Gaussian of 1/256 of its height, because finer detail in an average is noise
        of single faces.
        """
        import cv2

        height, width = self.pixels.shape[:2]
        left, top, right, bottom = (
            round(f * s) for f, s in zip(FEATURE_BOX, (width, height) * 2, strict=True)
        )
        grey = cv2.cvtColor(self.pixels, cv2.COLOR_RGB2GRAY).astype(np.float64)
        edges = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), height / 256), cv2.CV_64F)
        return float(edges[top:bottom, left:right].var())


@dataclass(frozen=True, eq=False)
class GroupDifference(PictureWithMembers):
    """Difference of the average faces of two groups, tested by a wild bootstrap.

    Its picture shows grey level 128 plus the difference; :func:`facestats.plots.difference_map` draws it with a scale
    and outlines the significant pixels.

    Parameters
    ----------
    difference
        Mean lightness of the first group minus that of the second, (height, width) float32, grey levels.
    t
        Welch's t per pixel, with a variance for each group (Welch 1947), same shape.
    p
        Probability per pixel that the largest |t| of all pixels reaches this value by chance, same shape; so it is
        corrected for the number of pixels.
    effect_size
        Standardised difference per pixel, Hedges' g (Hedges 1981), same shape.
    names
        Names of the two groups.
    counts
        Number of faces in each group.
    members
        `image_id` of every face, those of the first group before those of the second.
    settings
        All other settings that affect the result, as values that JSON can hold.
    """

    difference: NDArray[np.float32] = field(repr=False)
    t: NDArray[np.float32] = field(repr=False)
    p: NDArray[np.float32] = field(repr=False)
    effect_size: NDArray[np.float32] = field(repr=False)
    names: tuple[str, str]
    counts: tuple[int, int]
    members: tuple[str, ...] = field(repr=False)
    settings: dict[str, Any]
    method: str = field(default="difference", init=False)

    def __repr__(self) -> str:
        groups = " minus ".join(f"{name} (n = {n})" for name, n in zip(self.names, self.counts, strict=True))
        height, width = self.difference.shape
        found = f"{self.significant.mean():.0%} of {width} x {height} pixels significant"
        return f"GroupDifference({groups}, {found})"

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each member in the difference; negative for the second group."""
        n_first, n_second = self.counts
        return (1 / n_first,) * n_first + (-1 / n_second,) * n_second

    @property
    def image(self) -> Image.Image:
        """The difference as a picture: 128 is no difference, lighter pixels are lighter in the first group."""
        return _to_image(128 + self.difference)

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Pixels that differ significantly, (height, width): p is 0.05 or less."""
        return self.p <= ALPHA


@dataclass(frozen=True, eq=False)
class Eigenfaces(PictureWithMembers):
    """Principal components of faces: the directions in which they differ most.

    Its picture has one row per component, the strongest on top, which goes from -3 to 3 standard deviations.

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
        All other settings that affect the result, as values that JSON can hold.
    """

    mean: NDArray[np.float32] = field(repr=False)
    components: NDArray[np.float32] = field(repr=False)
    sd: NDArray[np.float32]
    explained: NDArray[np.float32]
    members: tuple[str, ...] = field(repr=False)
    settings: dict[str, Any]
    method: str = field(default="eigenfaces", init=False)

    def __repr__(self) -> str:
        height, width = self.mean.shape[:2]
        shares = ", ".join(f"{share:.0%}" for share in self.explained)
        return f"Eigenfaces({shares} of the variance, n = {self.n}, {width} x {height} pixels)"

    @property
    def weights(self) -> tuple[float, ...]:
        """Weight of each member: all are equal."""
        return (1 / self.n,) * self.n

    @property
    def image(self) -> Image.Image:
        """The walks along all components, one below the other."""
        return _to_image(np.vstack([np.hstack([*self.walk(i)]) for i in range(len(self.sd))]))

    def walk(self, component: int, *, steps: tuple[float, ...] = (-3, -1.5, 0, 1.5, 3)) -> NDArray[np.uint8]:
        """Compute pictures along one component.

        Parameters
        ----------
        component
            Number of the component, from 0.
        steps
            Positions on the component, in standard deviations from the mean picture.

        Returns
        -------
        Pictures, (steps, height, width, 3) uint8.

        Raises
        ------
        ValueError
            If there is no such component.
        """
        if not 0 <= component < len(self.sd):
            msg = f"component must be 0 to {len(self.sd) - 1}, got {component}"
            raise ValueError(msg)
        along = np.asarray(steps, dtype=np.float32)[:, None, None, None] * self.sd[component]
        return to_grey_levels(self.mean + along * self.components[component])


def _to_image(values: NDArray[np.floating]) -> Image.Image:
    from PIL import Image

    return Image.fromarray(to_grey_levels(values))


def to_grey_levels(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round to whole grey levels from 0 to 255."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
