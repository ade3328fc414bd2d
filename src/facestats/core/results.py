"""What the composites stage returns and the plots draw: pictures that know what they are made of."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.tables import COMPOSITES, check_table

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray
    from PIL import Image

PNG_KEY = "facestats"
ALPHA = 0.05
# eyes, brows, nose and mouth in every aligned crop: left, top, right, bottom as shares of its side
FEATURES = (0.27, 0.36, 0.73, 0.78)
MAX_LISTED = 500_000  # characters of member names in a PNG; Pillow refuses to read more than 1 MB


@dataclass(frozen=True, eq=False)
class Composite:
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
    def n(self) -> int:
        """Number of faces in it."""
        return len(self.members)

    @property
    def image(self) -> Image.Image:
        """The picture."""
        from PIL import Image

        return Image.fromarray(self.pixels)

    @property
    def caption(self) -> str:
        """Method, number of faces, filter, and what was relaxed: what a figure must say."""
        parts = [f"{self.method}, n = {self.n}"]
        parts += [self.settings["where"]] if self.settings.get("where") else []
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

    def to_frame(self, name: str) -> pl.DataFrame:
        """Return the row of this composite in the `composites` table, under the key `name`."""
        row = {
            "composite": [name],
            "method": [self.method],
            "n": pl.Series([self.n], dtype=pl.Int32),
            "members": [list(self.members)],
            "weights": [list(self.weights)],
            "where": pl.Series([self.settings.get("where")], dtype=pl.String),
            "settings": [json.dumps(self.settings, ensure_ascii=False)],
        }
        return check_table(pl.DataFrame(row), COMPOSITES)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a PNG that carries members, weights and settings (text chunk `facestats`, JSON).

        Beyond half a million characters the names of the members are left to the `composites` table, and
        their SHA-256 is written instead.
        """
        target = Path(path)
        if target.suffix.lower() != ".png":
            msg = f"{target} must end in .png: other formats cannot carry the list of members"
            raise ValueError(msg)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self._repr_png_())
        return target

    def _repr_png_(self) -> bytes:
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt(PNG_KEY, json.dumps(self._facts(), ensure_ascii=False), zip=True)
        buffer = io.BytesIO()
        self.image.save(buffer, format="PNG", pnginfo=info)
        return buffer.getvalue()

    def _facts(self) -> dict[str, Any]:
        facts = {"method": self.method, "n": self.n, "settings": self.settings}
        if sum(map(len, self.members)) < MAX_LISTED:
            return facts | {"members": self.members, "weights": self.weights}
        names = "\n".join(self.members).encode()
        return facts | {"members_sha256": hashlib.sha256(names).hexdigest()}


def read_composite(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read how a saved composite was made: method, n, settings, members, weights.

    Raises
    ------
    ValueError
        If the picture was not written by :meth:`Composite.save`.
    """
    from PIL import Image

    with Image.open(path, formats=["PNG"]) as image:
        text = image.info.get(PNG_KEY)
    if text is None:
        msg = f"{path} does not say how it was made: it was not written by Composite.save"
        raise ValueError(msg)
    return json.loads(text)


@dataclass(frozen=True, eq=False)
class GroupDifference:
    """Where the average faces of two groups differ, tested by permutation.

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
    settings
        Everything else that decided the result.
    """

    difference: NDArray[np.float32] = field(repr=False)
    t: NDArray[np.float32] = field(repr=False)
    p: NDArray[np.float32] = field(repr=False)
    names: tuple[str, str]
    counts: tuple[int, int]
    settings: dict[str, Any]

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Pixels whose difference chance does not explain: p of 0.05 or less."""
        return self.p <= ALPHA


@dataclass(frozen=True, eq=False)
class Eigenfaces:
    """Principal components of faces: the directions in which they differ most.

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

    def walk(self, component: int, *, steps: tuple[float, ...] = (-3, -1.5, 0, 1.5, 3)) -> NDArray[np.uint8]:
        """Pictures along one component, (steps, height, width, 3) uint8; steps in standard deviations."""
        if not 0 <= component < len(self.sd):
            msg = f"component must be 0 to {len(self.sd) - 1}, got {component}"
            raise ValueError(msg)
        along = np.asarray(steps, dtype=np.float32)[:, None, None, None] * self.sd[component]
        return np.clip(np.rint(self.mean + along * self.components[component]), 0, 255).astype(np.uint8)
