"""The results of finding and aligning faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.tables import DECODED, KEY, check_columns
from facestats.pictures.decode import PictureError, open_picture
from facestats.pictures.paths import picture_path
from facestats.plots.fitting import shorten_middle
from facestats.plots.grids import TILE, blank_tile, draw_sheet, read_tile
from facestats.plots.style import BLUE, COLORS, ORANGE, TEXT, draw_nothing, finish, new_axes

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from numpy.typing import NDArray
    from PIL import Image

MADE_BY = "fs.align_faces (notebooks/01_faces.ipynb)"
NAME = 24  # characters of the name of a picture, at most
GOOD = ("ok", "ok_first_frame")
# points that alignment uses, by FaceMesh number; left and right as seen in the picture
POINTS = {
    "pupil": (468, 473),
    "outer eye corner": (33, 263),
    "inner eye corner": (133, 362),
    "nose tip": (1,),
    "mouth corner": (61, 291),
}


def status_bars(faces: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the number of pictures per status: found, or failed for which reason.

    Parameters
    ----------
    faces
        A table with the column `status`.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a bar per status, blue for found faces and orange for failures.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.status_bars(project.faces)
    >>> ax.get_title(loc="left")
    'status, n = 12'
    """
    check_columns(faces, "status", made_by=MADE_BY)
    counts = (
        faces["status"].cast(pl.String).value_counts(name="n").sort(["n", "status"], descending=[True, False])
    )
    ax = new_axes(ax, height=0.9 + 0.32 * counts.height)
    colors = [BLUE if status in GOOD else ORANGE for status in counts["status"]]
    bars = ax.barh(range(counts.height), counts["n"], color=colors, height=0.7)
    texts = [f"{n:,} ({n / faces.height:.1%})" for n in counts["n"]]
    ax.bar_label(bars, texts, padding=4, fontsize=TEXT)
    ax.set_yticks(range(counts.height), counts["status"].to_list())
    ax.margins(x=0.18)
    ax.invert_yaxis()
    return finish(ax, title=f"status, n = {faces.height:,}", xlabel="pictures")


def alignment_scatter(
    faces: pl.DataFrame,
    *,
    size: int = 512,
    template: Mapping[str, NDArray[np.floating]] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the positions of eyes, nose and mouth of all faces in the aligned crop; small clouds mean good alignment.

    Parameters
    ----------
    faces
        Rows with `landmarks` and `matrix`; others are left out.
    size
        Side of the crops in pixels.
    template
        Ideal positions, drawn as crosses: name as in the legend, and points in crop pixels, (n, 2).
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a cloud per landmark; the legend has its standard deviation in pixels.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.alignment_scatter(project.faces, size=64)
    >>> ax.get_title(loc="left")
    'alignment, n = 12'
    """
    check_columns(faces, "landmarks", "matrix", made_by=MADE_BY)
    known = faces.drop_nulls(["landmarks", "matrix"])
    ax = new_axes(ax, height=5.4, width=5.6)
    for i, (name, numbers) in enumerate(POINTS.items()):
        points = _in_crop(known, numbers)
        spread = np.sqrt(points.var(axis=0).sum(axis=-1).mean()) if len(points) else np.nan
        flat = points.reshape(-1, 2)
        label = f"{name} (SD {spread:.1f} px)"
        ax.scatter(flat[:, 0], flat[:, 1], s=6, alpha=0.5, color=COLORS[i], linewidths=0, label=label)
        if template and name in template:
            aim = np.asarray(template[name]).reshape(-1, 2)
            ax.scatter(aim[:, 0], aim[:, 1], marker="+", s=90, color="black", linewidths=1.2)
    ax.set(xlim=(0, size), ylim=(size, 0), aspect="equal")
    ax.legend(frameon=False, fontsize=TEXT, loc="upper left", ncols=2, markerscale=2.5)
    return finish(ax, title=f"alignment, n = {known.height:,}", xlabel="pixels in the crop")


def alignment_sheet(
    faces: pl.DataFrame,
    raw_dir: str | os.PathLike[str],
    crops_dir: str | os.PathLike[str],
    *,
    n_faces: int = 6,
    ax: Axes | None = None,
) -> Axes:
    """Draw pictures in the upper row and their aligned crops in the lower row, both with the landmarks.

    Parameters
    ----------
    faces
        Rows with `landmarks`, `matrix` and `crop`; the first `n_faces` that have them are shown.
    raw_dir
        Folder of the pictures.
    crops_dir
        Folder of the crops.
    n_faces
        Highest number of faces.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: both rows as one picture, with landmarks as points; without faces, a line of text.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.alignment_sheet(project.faces, project.raw_dir, project.crops_dir, n_faces=3)
    >>> ax.get_title(loc="left")
    'before and after alignment, 3 of 12'
    """
    check_columns(faces, KEY, "landmarks", "matrix", "crop", made_by=MADE_BY)
    known = faces.drop_nulls(["landmarks", "matrix", "crop"])
    shown = known.head(n_faces)
    tiles = [read_tile(raw_dir, key) for key in shown[KEY]] + [
        read_tile(crops_dir, crop) for crop in shown["crop"]
    ]
    texts = [shorten_middle(key, NAME) for key in shown[KEY]] + [""] * shown.height
    title = f"before and after alignment, {shown.height} of {known.height:,}"
    ax = draw_sheet(tiles, n_columns=shown.height, captions=texts, title=title, ax=ax)
    if shown.is_empty():
        return ax
    pitch = np.array(ax.images[0].get_array().shape[:2]) / [2, shown.height]
    every = np.arange(0, 478, 4)
    for i, row in enumerate(shown.iter_rows(named=True)):
        scale = [_fit(raw_dir, row[KEY]), _fit(crops_dir, row["crop"])]
        points = [np.array(row["landmarks"])[every], _in_crop(shown[i], every)[0]]
        for j, (xy, (factor, shift)) in enumerate(zip(points, scale, strict=True)):
            placed = xy * factor + shift + [i * pitch[1], j * pitch[0]]
            ax.scatter(placed[:, 0], placed[:, 1], s=1.2, color=COLORS[4], linewidths=0)
    return ax


def failure_sheet(
    faces: pl.DataFrame, raw_dir: str | os.PathLike[str], *, n_faces: int = 8, ax: Axes | None = None
) -> Axes:
    """Draw pictures that failed, one row per status, with the error below each.

    Parameters
    ----------
    faces
        Rows with `image_id`, `status` and `error`.
    raw_dir
        Folder of the pictures; a picture that could not be decoded is a grey tile.
    n_faces
        Highest number of pictures per status.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: the pictures as one sheet, a row per status; without failures, a line of text.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.failure_sheet(project.faces, project.raw_dir)
    >>> ax.texts[0].get_text()
    'no failures among 12 pictures'
    """
    check_columns(faces, KEY, "status", "error", made_by=MADE_BY)
    failed = faces.filter(~pl.col("status").cast(pl.String).is_in(GOOD))
    if failed.is_empty():
        return draw_nothing(ax, f"no failures among {faces.height:,} pictures")
    counts = (
        failed["status"]
        .cast(pl.String)
        .value_counts(name="n")
        .sort(["n", "status"], descending=[True, False])
    )
    n_columns = min(n_faces, max(counts["n"].to_list()))
    tiles: list[Image.Image | None] = []
    captions: list[str] = []
    for status in counts["status"]:
        rows = failed.filter(pl.col("status").cast(pl.String) == status).head(n_columns)
        # a picture that could not be decoded might crash or block this process too, so it is not opened
        tiles += [read_tile(raw_dir, key) if status in DECODED else None for key in rows[KEY]]
        captions += [
            f"{shorten_middle(k, NAME)}\n{e or ''}".strip() for k, e in rows.select(KEY, "error").iter_rows()
        ]
        empty = n_columns - rows.height
        tiles += [blank_tile()] * empty
        captions += [""] * empty
    labels = [f"{status}\nn = {n:,}" for status, n in counts.iter_rows()]
    title = f"{failed.height:,} of {faces.height:,} pictures failed"
    return draw_sheet(tiles, n_columns=n_columns, captions=captions, row_labels=labels, title=title, ax=ax)


def _in_crop(faces: pl.DataFrame, numbers: object) -> NDArray[np.float64]:
    """Return the landmarks of these numbers in crop pixels, (faces, points, 2)."""
    points = faces["landmarks"].to_numpy()[:, np.asarray(numbers, dtype=int)].astype(np.float64)
    matrices = faces["matrix"].to_numpy()
    return points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]


def _fit(folder: str | os.PathLike[str], name: str) -> tuple[float, NDArray[np.float64]]:
    """Return the factor and the shift from pixels of a picture to pixels of its tile."""
    try:
        size = np.array(open_picture(picture_path(str(Path(folder) / name))).image.size, dtype=np.float64)
    except PictureError:
        return 0.0, np.full(2, np.nan)
    factor = TILE / size.max()
    return factor, (TILE - size * factor) / 2
