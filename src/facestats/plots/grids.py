"""Contact sheets: faces side by side, with captions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.tables import check_columns
from facestats.pictures.decode import PictureError, open_picture
from facestats.pictures.paths import picture_path
from facestats.plots.fitting import text_width, wrap_text
from facestats.plots.style import TEXT, WIDTH, draw_nothing, finish_picture, new_axes

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from PIL import Image

TILE = 128  # side of a tile in pixels: sharp in a notebook, and a hundred faces take 5 MB
MOST_INCHES = 1.5  # largest side of a tile on paper: a few tiles are not enlarged
GAP = 6  # pixels between tiles
EMPTY = 225  # grey level of a tile without a picture


def face_grid(
    faces: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    *,
    n_columns: int = 8,
    captions: str | None = None,
    n_faces: int = 64,
    ax: Axes | None = None,
) -> Axes:
    """Draw the crops of `faces` side by side, in the order of the rows.

    Parameters
    ----------
    faces
        Rows with `image_id` and `crop`; a row without a crop is a grey tile.
    crops_dir
        Folder of the crops.
    n_columns
        Tiles per row.
    captions
        Column whose values are written below the tiles.
    n_faces
        Highest number of faces; the title says how many there are.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: the faces as one picture, with captions below them; without faces, a line of text.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.face_grid(project.master, project.crops_dir, captions="text_age", n_faces=4)
    >>> ax.get_title(loc="left"), ax.texts[0].get_text()
    ('4 of 12', 'child')
    """
    check_columns(faces, "crop", made_by="fs.align_faces (notebooks/01_faces.ipynb)")
    if captions:
        check_columns(faces, captions, made_by="the earlier stages; captions names one of its columns")
    shown = faces.head(n_faces)
    tiles = [read_tile(crops_dir, crop) for crop in shown["crop"]]
    texts = ["" if t is None else _write(t) for t in shown[captions]] if captions else None
    title = (
        f"n = {shown.height:,}" if shown.height == faces.height else f"{shown.height:,} of {faces.height:,}"
    )
    return draw_sheet(tiles, n_columns=n_columns, captions=texts, title=title, ax=ax)


def cluster_sheet(
    table: pl.DataFrame, crops_dir: str | os.PathLike[str], *, n_faces: int = 10, ax: Axes | None = None
) -> Axes:
    """Draw one row of faces per cluster, cluster 0 on top.

    Parameters
    ----------
    table
        Columns `crop` and `cluster`, sorted so that the faces to show come first in their cluster, as in the
        table of :func:`facestats.clusters.members`. A column `cluster_name`, if there is one, is written beside
        the row.
    crops_dir
        Folder of the crops.
    n_faces
        Highest number of faces per cluster.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: the faces as one picture, with the name and the size of the cluster beside each row.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> members = fs.clusters.members(project.embeddings, project.clusters)
    >>> table = members.join(project.faces.select("image_id", "crop"), on="image_id", maintain_order="left")
    >>> ax = fs.plots.cluster_sheet(table, project.crops_dir, n_faces=3)
    >>> ax.get_title(loc="left")
    '3 clusters, n = 12'
    """
    check_columns(table, "crop", "cluster", made_by="fs.cluster_faces, joined to faces by image_id")
    known = table.drop_nulls(["cluster", "crop"])
    tiles: list[Image.Image | None] = []
    labels = []
    for cluster in known["cluster"].unique().sort():
        members = known.filter(pl.col("cluster") == cluster)
        name = members["cluster_name"][0] if "cluster_name" in members.columns else None
        what = "noise" if cluster == -1 else f"cluster {cluster}"
        labels.append("\n".join([what, *([_wrap(name, 22)] if name else []), f"n = {members.height:,}"]))
        row = [read_tile(crops_dir, crop) for crop in members["crop"].head(n_faces)]
        tiles += row + [blank_tile()] * (n_faces - len(row))
    title = f"{len(labels)} clusters, n = {known.height:,}"
    return draw_sheet(tiles, n_columns=n_faces, row_labels=labels, title=title, ax=ax)


def draw_sheet(
    tiles: Sequence[Image.Image | None],
    *,
    n_columns: int,
    captions: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw square tiles as one picture, with a caption below each tile or a label beside each row.

    Captions are wrapped to the width of a tile.
    """
    if not tiles:
        return draw_nothing(ax, "no faces", title=title)
    n_columns = max(1, min(n_columns, len(tiles)))
    n_rows = -(-len(tiles) // n_columns)
    beside = max((text_width(label, TEXT - 1) for label in row_labels or []), default=0.0) / 72
    width = min(WIDTH - beside, MOST_INCHES * n_columns)
    room = 0.94 * 72 * width / n_columns  # points: captions of neighbours must not touch
    texts = [wrap_text(c, points=room, size=TEXT - 2) if c else "" for c in captions or []]
    lines = max((t.count("\n") + 1 for t in texts if t), default=0)
    # height of a line of text in pixels of the sheet: text has a fixed size in points, but tiles share the width
    line = TILE * n_columns * 1.5 * (TEXT - 1) / (72 * width)
    pitch = np.array([TILE + GAP + round(line * lines), TILE + GAP])
    sheet = np.full((n_rows * pitch[0], n_columns * pitch[1], 3), 255, dtype=np.uint8)
    centres = []
    for i, tile in enumerate(tiles):
        top, left = np.array(divmod(i, n_columns)) * pitch
        sheet[top : top + TILE, left : left + TILE] = EMPTY if tile is None else np.asarray(tile)
        centres.append((left + TILE / 2, top + TILE + 2))
    height = width * sheet.shape[0] / sheet.shape[1] + 0.4
    ax = new_axes(ax, height=height, width=max(width + beside + (0.3 if row_labels else 0), 3 * MOST_INCHES))
    ax.imshow(sheet, interpolation="antialiased")
    for (x, y), text in zip(centres, texts, strict=False):
        ax.text(x, y, text, ha="center", va="top", fontsize=TEXT - 2)
    if row_labels:
        ax.set_anchor("E")  # space that is left over goes to the labels
    for i, text in enumerate(row_labels or []):
        ax.text(-GAP, i * pitch[0] + TILE / 2, text, ha="right", va="center", fontsize=TEXT - 1)
    return finish_picture(ax, title=title)


def read_tile(folder: str | os.PathLike[str], name: str | None) -> Image.Image | None:
    """Read a picture as a square tile; None if `name` is None or the picture cannot be read."""
    if name is None:
        return None
    try:
        picture = open_picture(picture_path(str(Path(folder) / name))).image
    except PictureError:
        return None
    return fit_tile(picture)


def fit_tile(picture: Image.Image) -> Image.Image:
    """Fit a whole picture into a square grey tile."""
    from PIL import Image, ImageOps

    return ImageOps.pad(picture, (TILE, TILE), method=Image.Resampling.LANCZOS, color=(EMPTY,) * 3)


def blank_tile() -> Image.Image:
    """Return a white tile."""
    from PIL import Image

    return Image.new("RGB", (TILE, TILE), (255, 255, 255))


def _write(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _wrap(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))
