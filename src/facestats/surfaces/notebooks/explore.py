"""An interactive map of all faces: hover to see a face, draw a lasso around faces to get their rows."""

from __future__ import annotations

import shutil
import sys
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import facestats as fs
from facestats.core.progress import say
from facestats.core.tables import KEY, check_columns
from facestats.pictures.crops import read_thumbnails
from facestats.store.table_files import write_part
from facestats.surfaces.extras import require

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

SIDE = 64  # width and height of a thumbnail, in pixels
MAX_THUMBNAILS = 5000
MADE_BY = "fs.map_faces (notebooks/07_clusters.ipynb); join the table clusters to master by image_id"
THUMBNAIL = "thumb"
_COLOR, _POSITION = "_color", ["x", "y"]
_APPEARANCE = {
    "legend": True,
    "axes": False,
    "tooltip": True,
    "tooltip_histograms": False,
    "tooltip_preview_image_height": 2 * SIDE,
}


@dataclass(frozen=True, eq=False)
class FaceMap:
    """A map that shows itself in a notebook and returns the rows that are selected in it.

    Parameters
    ----------
    faces
        The rows on the map, in the order of its points.
    scatter
        The ``jscatter.Scatter`` that draws them, for everything that this class does not offer.
    """

    faces: pl.DataFrame = field(repr=False)
    scatter: Any = field(repr=False)

    def __repr__(self) -> str:
        return f"FaceMap({self.faces.height:,} faces)"

    def selection(self) -> pl.DataFrame:
        """Return the rows that are selected on the map, in the order of the table.

        Returns
        -------
        Rows of `faces` with all their columns; a frame without rows if nothing is selected.
        """
        return self.faces[np.sort(np.asarray(self.scatter.selection(), dtype=np.int64))]

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.scatter._repr_mimebundle_(**options)


def explore(
    master: pl.DataFrame,
    crops_dir: str | os.PathLike[str] | None = None,
    *,
    color: str = "cluster",
    names: Mapping[Any, str] | None = None,
    tooltip: Sequence[str] = (),
    max_thumbnails: int = MAX_THUMBNAILS,
    height: int = 480,
) -> FaceMap:
    """Show the faces on their stored layout: hover to see a face, or draw a lasso to select faces.

    The lasso is the second button to the left of the map. Needs the extra `explore`.

    Parameters
    ----------
    master
        Rows with `image_id`, `x`, `y` (table clusters) and `color`; rows without a position are left out. If
        :func:`facestats.clusters.names` was joined, `cluster_name` names the clusters.
    crops_dir
        Folder of the crops, for the thumbnails; if it is given, `master` needs the column `crop`.
    color
        Column that gives the colours: numbers with more than 24 values get a scale, everything else gets classes.
    names
        Names to show for the values of `color`.
    tooltip
        Further columns to show beside a face.
    max_thumbnails
        Number of thumbnails, at most (64 pixels, about 2 kB and 1 to 2 ms each). If there are more faces, evenly
        spaced rows get one, and a line says so.
    height
        Height of the map, in pixels.

    Returns
    -------
    The map; its `selection()` gives the selected rows.

    Raises
    ------
    MissingExtraError
        If jupyter-scatter is not installed; the message holds the command that installs it.
    TableError
        If a column is missing.
    ValueError
        If no row has a position, or a crop is missing.

    Examples
    --------
    Tests skip the lines that need the extra `explore`.

    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> view = project.master.join(project.clusters, on="image_id")
    >>> found = fs.explore(view, project.crops_dir)  # doctest: +SKIP
    >>> found  # doctest: +SKIP
    FaceMap(12 faces)
    >>> found.selection().height  # doctest: +SKIP
    0
    """
    require("explore", ("jscatter",), by="fs.explore")
    import jscatter

    faces, classes = _color_classes(placed_faces(master, color), color, names)
    check_columns(faces, *tooltip, made_by="the stages before")
    columns = [name for name in dict.fromkeys([KEY, *tooltip]) if name not in (color, *_POSITION)]
    points = faces.select(*_POSITION, *columns).with_columns(faces[_COLOR].alias(color))
    options: dict[str, Any] = {"color_map": classes or "cividis", "tooltip_properties": ["color", *columns]}
    if crops_dir is not None:
        points = points.with_columns(_data_uris(faces, crops_dir, max_thumbnails))
        options |= {"tooltip_preview": THUMBNAIL, "tooltip_preview_type": "image"}
    x_limits, y_limits = _equal_limits(points)
    scatter = jscatter.Scatter(
        *_POSITION,
        data=points.to_pandas(),
        color_by=color,
        x_scale=x_limits,
        y_scale=y_limits,
        size=float(np.clip(200 / np.sqrt(points.height), 2, 8)),
        height=height,
        **_APPEARANCE,
        **options,
    )
    return FaceMap(faces.drop(_COLOR), scatter)


def write_explore_table(
    master: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    path: Path,
    *,
    max_thumbnails: int = MAX_THUMBNAILS,
) -> Path:
    """Write one Parquet file for a viewer of embeddings: positions, labels and thumbnails (JPEG bytes).

    Parameters
    ----------
    master
        As in :func:`explore`; landmarks and other nested columns are left out.
    crops_dir
        Folder of the crops.
    path
        File to write; its folder is made if it is missing.
    max_thumbnails
        As in :func:`explore`.

    Returns
    -------
    The path.
    """
    faces = placed_faces(master, KEY)
    flat = [name for name, dtype in faces.schema.items() if not dtype.is_nested()]
    thumbnails = _thumbnails(faces, crops_dir, max_thumbnails)
    write_part(faces.select(flat).with_columns(thumbnails), path, {"source": "facestats explore"})
    return path


def named_faces(store: fs.Store, attributes: Sequence[str]) -> pl.DataFrame:
    """Join the tables master and clusters, and name the clusters as notebook 07 does.

    The names depend on the labels, the table of clusters does not. They are made here and not stored, so that a
    changed label does not make the layout stale.

    Parameters
    ----------
    store
        Holds the tables master, clusters and embeddings.
    attributes
        Columns of labels from which the names are made.

    Returns
    -------
    All rows and columns of master and clusters, and `cluster_name` (String; null for noise and without a cluster).
    """
    layout = store.read("clusters")
    faces = store.read("master").join(layout, on=KEY, how="left", validate="1:1", maintain_order="left")
    repeats = fs.clusters.near_duplicates(store.read("embeddings")).drop_nulls()
    counted = faces.join(repeats, on=KEY, how="anti")
    names = fs.clusters.names(fs.clusters.profile(counted, [a for a in attributes if a in faces.columns]))
    return faces.join(names, on="cluster", how="left", validate="m:1", maintain_order="left")


def atlas_command(path: Path) -> list[str]:
    """Return the command that opens such a file in embedding-atlas, which uvx downloads on first use.

    uvx is searched for on the PATH, then in the folder of the running Python, where `make` installs it.
    """
    uvx = shutil.which("uvx") or shutil.which("uvx", path=Path(sys.executable).parent) or "uvx"
    return [uvx, "embedding-atlas", str(path), "--x", "x", "--y", "y", "--image", THUMBNAIL]


def placed_faces(master: pl.DataFrame, color: str) -> pl.DataFrame:
    """Keep the rows that have a position on the map.

    Raises
    ------
    TableError
        If a column is missing, such as the layout.
    ValueError
        If no row has a position.
    """
    check_columns(master, KEY, *_POSITION, made_by=MADE_BY)
    check_columns(master, color, made_by="the stages before; join them to master by image_id")
    faces = master.drop_nulls(_POSITION)
    if faces.is_empty():
        msg = f"none of {master.height:,} rows has a position (x, y), so there is no face to show. Look at the columns status and error."
        raise ValueError(msg)
    return faces


def _color_classes(
    faces: pl.DataFrame, color: str, names: Mapping[Any, str] | None
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Add the column that gives the colour; for classes also return names and colours in the order of the legend."""
    from facestats.plots.maps import MAX_CATEGORIES, MISSING, is_continuous, order_values
    from facestats.plots.style import GREY, look

    if is_continuous(faces[color].drop_nulls()):
        if lacking := faces[color].null_count():
            say(f"explore: {lacking:,} of {faces.height:,} faces have no {color} and are not on the map.")
        known = faces.drop_nulls(color)
        return known.with_columns(pl.col(color).cast(pl.Float64).alias(_COLOR)), {}
    if names is None and color == "cluster" and "cluster_name" in faces.columns:
        names = dict(faces.select(color, "cluster_name").unique().drop_nulls().iter_rows())
    names, values = names or {}, order_values(faces[color])
    calls = {v: str(names.get(v, "noise" if v == -1 else v)) for v in values[:MAX_CATEGORIES]}
    classes = {name: look(i)[0] for i, name in enumerate(dict.fromkeys(calls.values()))}
    rest = f"{len(values) - MAX_CATEGORIES} other values"
    classes |= {rest: GREY} if len(values) > MAX_CATEGORIES else {}
    classes |= {MISSING: GREY} if faces[color].null_count() else {}
    key = faces[color].cast(pl.String)
    label = key.replace_strict({str(v): name for v, name in calls.items()}, default=rest)
    label = pl.select(pl.when(key.is_null()).then(pl.lit(MISSING)).otherwise(label)).to_series()
    return faces.with_columns(label.cast(pl.Enum(list(classes))).alias(_COLOR)), classes


def _thumbnails(faces: pl.DataFrame, crops_dir: str | os.PathLike[str], limit: int) -> pl.Series:
    """Make thumbnails as JPEG bytes, for evenly spaced rows if there are more than `limit`."""
    check_columns(faces, "crop", made_by="fs.align_faces (notebooks/01_faces.ipynb)")
    if (n := faces.height) > limit:
        say(f"explore: thumbnails for {limit:,} of {n:,} faces, evenly spaced (max_thumbnails={limit}).")
    chosen = pl.Series(np.unique(np.linspace(0, n - 1, max(min(n, limit), 0)).astype(np.int64)))
    crops = faces.select(pl.when(pl.int_range(pl.len()).is_in(chosen)).then("crop")).to_series()
    return pl.Series(THUMBNAIL, read_thumbnails(crops.to_list(), crops_dir, side=SIDE), dtype=pl.Binary)


def _data_uris(faces: pl.DataFrame, crops_dir: str | os.PathLike[str], limit: int) -> pl.Series:
    return _thumbnails(faces, crops_dir, limit).map_elements(
        lambda jpeg: f"data:image/jpeg;base64,{b64encode(jpeg).decode()}", return_dtype=pl.String
    )


def _equal_limits(points: pl.DataFrame) -> list[tuple[float, float]]:
    """Limits of x and of y that are equally far apart, so that the layout is not stretched."""
    positions = points.select(_POSITION).to_numpy().astype(np.float64)
    low, high = positions.min(axis=0), positions.max(axis=0)
    reach = max(0.525 * (high - low).max(), 1e-6)
    return [(float(middle - reach), float(middle + reach)) for middle in (low + high) / 2]
