"""Aligned crops as pixels and shapes, read in blocks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facestats.composites.warp import build_mesh, crop_shapes, warp_face
from facestats.core.display import count_of
from facestats.core.progress import advance, progress_bar
from facestats.core.tables import KEY, check_columns
from facestats.core.workers import cpu_count
from facestats.pictures.crops import open_crop

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import polars as pl
    from numpy.typing import NDArray

    from facestats.composites.warp import Mesh

METHODS = {"mean": ("crop",), "warp": ("crop", "landmarks", "matrix")}
FACES_IN_MEMORY = 64
BAR_FROM = 300  # faces from which on a progress bar is shown
BATCH_SIZE = 256  # faces in a batch of resized crops, at least


@dataclass(frozen=True)
class CropStack:
    """The crops of some faces, all of one size; each face has the columns that the method needs.

    Parameters
    ----------
    faces
        Rows of the faces table without nulls in the needed columns.
    folder
        Folder of the crops.
    size
        Height and width of the crops.
    excluded
        Number of rows that were left out, by reason.
    """

    faces: pl.DataFrame = field(repr=False)
    folder: Path
    size: tuple[int, int]
    excluded: dict[str, int]

    @property
    def has_shapes(self) -> bool:
        """Whether every face has landmarks."""
        return all(c in self.faces.columns and not self.faces[c].null_count() for c in METHODS["warp"])

    def mean_shape(self, shares: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Mean landmarks in crop pixels, (points, 2); `shares` are the weights of the faces and sum to one."""
        n = self.faces.height
        shares = np.full(n, 1 / n) if shares is None else shares
        total = np.zeros(1)
        for start in range(0, n, 1024):
            block = self.faces.slice(start, 1024)
            total = total + np.tensordot(shares[start : start + block.height], _shapes(block), axes=1)
        return total

    def mesh(self) -> Mesh:
        """Mesh for the warp onto the mean shape of these faces."""
        return build_mesh(self.mean_shape(), self.size)

    def pixels(self, mesh: Mesh | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield the crops in the order of the rows, warped onto the shape of `mesh` if it is given."""

        def read(name: str, shape: NDArray[np.float64] | None) -> NDArray[np.uint8]:
            pixels = _read_crop(self.folder / name, self.size)
            return pixels if mesh is None or shape is None else warp_face(pixels, shape, mesh)

        n = self.faces.height
        with ThreadPoolExecutor(cpu_count()) as pool, progress_bar("composite", n, show=n >= BAR_FROM):
            for block in self.faces.iter_slices(FACES_IN_MEMORY):
                shapes = [None] * block.height if mesh is None else list(_shapes(block))
                for pixels in pool.map(read, block["crop"], shapes):
                    yield pixels
                    advance(1)

    def resized_batches(self, method: str, *, side: int, grey: bool) -> Iterator[NDArray[np.float32]]:
        """Yield batches of 256 to 511 flattened faces of `side` x `side` pixels, (n, values); one batch if fewer."""
        import cv2

        n = self.faces.height
        ends = set(
            np.cumsum([len(part) for part in np.array_split(np.arange(n), max(1, n // BATCH_SIZE))]).tolist()
        )
        rows = []
        for i, pixels in enumerate(self.pixels(self.mesh() if method == "warp" else None)):
            small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
            rows.append((cv2.cvtColor(small, cv2.COLOR_RGB2GRAY) if grey else small).ravel())
            if i + 1 in ends:
                yield np.array(rows, dtype=np.float32)
                rows = []


def stack_crops(
    faces: pl.DataFrame, crops_dir: str | os.PathLike[str], *, method: str, min_faces: int
) -> CropStack:
    """Collect the crops of the rows that have all columns that `method` needs.

    Raises
    ------
    ValueError
        If fewer than `min_faces` rows are left; the message counts what is missing.
    """
    if method not in METHODS:
        msg = f"method must be one of {tuple(METHODS)}, got {method!r}"
        raise ValueError(msg)
    needed = METHODS[method]
    check_columns(faces, KEY, *needed, made_by="fs.align_faces (notebooks/01_faces.ipynb)")
    usable = faces.drop_nulls(list(needed))
    excluded = {f"without {c}": faces[c].null_count() for c in needed if c != "matrix"}
    if usable.height < max(min_faces, 1):
        lacking = ", ".join(f"{n} {what}" for what, n in excluded.items())
        msg = (
            f"{count_of(usable.height, 'face is', 'faces are')} usable for method {method!r}, but min_faces is"
            f" {min_faces}: {count_of(faces.height, 'row was', 'rows were')} given, {lacking}. Select more faces, or lower min_faces if so few faces are intended."
        )
        raise ValueError(msg)
    folder = Path(crops_dir)
    height, width = _read_crop(folder / usable["crop"][0], None).shape[:2]
    return CropStack(usable, folder, (height, width), {what: n for what, n in excluded.items() if n})


def _shapes(faces: pl.DataFrame) -> NDArray[np.float64]:
    return crop_shapes(faces["landmarks"].to_numpy(), faces["matrix"].to_numpy())


def _read_crop(path: Path, size: tuple[int, int] | None) -> NDArray[np.uint8]:
    pixels = np.asarray(open_crop(path))
    if size is not None and pixels.shape[:2] != size:
        found = f"{pixels.shape[1]}x{pixels.shape[0]}"
        msg = (
            f"crop {path} is {found} pixels, but the first crop is {size[1]}x{size[0]}. Align all faces with one"
            " crop size (fs.align_faces)."
        )
        raise ValueError(msg)
    return pixels
