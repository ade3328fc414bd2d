"""Maps: one point per face, colored by any column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.patheffects as effects
import numpy as np
import polars as pl

from facestats.core.tables import check_columns
from facestats.plots.fitting import MOST, shorten_middle
from facestats.plots.style import (
    GREY,
    RASTER_FROM,
    SEQUENTIAL,
    TEXT,
    draw_nothing,
    finish_picture,
    look,
    new_axes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

MAX_CATEGORIES = 24
MAX_BESIDE = 24  # characters; a legend with longer texts is drawn below the map
FEW = 30  # points: with fewer, names on the map would hide them
MISSING = "missing"


def face_map(
    table: pl.DataFrame,
    color: str = "cluster",
    *,
    names: Mapping[Any, str] | None = None,
    size: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the faces at their places in a layout, colored by one column.

    Fractions, and whole numbers with more than 24 values, have a color bar; everything else has a legend with
    counts. In vector formats, more than 50,000 points are drawn as one picture.

    Parameters
    ----------
    table
        Columns `x`, `y` (as of :func:`facestats.project_umap`) and `color`; rows without a place are left out.
    color
        Column that decides the color.
    names
        Value and name, such as names of clusters, written into the legend and, with 30 faces or more, into the map. If
        two values have the same name, each name starts with its value. The key None names missing values.
    size
        Area of a mark in square points; by default, the more faces, the smaller.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a scatter plot without ticks; without faces, a line of text.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.face_map(project.clusters, names={0: "pale faces"})
    >>> ax.get_title(loc="left"), ax.get_legend().get_texts()[0].get_text().partition(" (")[0]
    ('cluster, n = 12', 'pale faces')
    """
    check_columns(
        table, "x", "y", made_by="fs.project_umap or fs.clusters.project_pca (notebooks/07_clusters.ipynb)"
    )
    check_columns(table, color, made_by="the earlier stages; join them to the layout by image_id")
    placed = table.drop_nulls(["x", "y"])
    if placed.is_empty():
        return draw_nothing(ax, "no faces on the map", title=f"{color}, n = 0")
    ax = new_axes(ax, height=5.2)
    marks = {
        "s": 2e4 / max(placed.height, 600) if size is None else size,
        "linewidths": 0,
        "rasterized": placed.height > RASTER_FROM,
    }
    missing = placed.filter(pl.col(color).is_null())
    if missing.height:
        unnamed = (names or {}).get(None, MISSING)
        ax.scatter(missing["x"], missing["y"], c=GREY, label=f"{unnamed} ({missing.height:,})", **marks)
    known = placed.drop_nulls(color)
    if is_continuous(known[color]):
        points = ax.scatter(known["x"], known["y"], c=known[color].to_numpy(), cmap=SEQUENTIAL, **marks)
        ax.figure.colorbar(points, ax=ax, label=color, shrink=0.8)
    else:
        _scatter_categories(ax, known, color, names=names or {}, marks=marks)
    ax.set_aspect("equal", adjustable="datalim")
    return finish_picture(ax, title=f"{color}, n = {placed.height:,}")


def is_continuous(values: pl.Series) -> bool:
    """Whether a column has a color scale: fractions, or whole numbers with more than 24 values."""
    return values.dtype.is_float() or (values.dtype.is_integer() and values.n_unique() > MAX_CATEGORIES)


def _scatter_categories(
    ax: Axes, known: pl.DataFrame, color: str, *, names: Mapping[Any, str], marks: dict[str, Any]
) -> None:
    values = order_values(known[color])
    names = _tell_apart({value: names[value] for value in values if value in names})
    for i, value in enumerate(values[:MAX_CATEGORIES]):
        group = known.filter(pl.col(color) == value)
        shade, marker = (GREY, "o") if value == -1 else look(i)
        named = str(names.get(value, "noise" if value == -1 else value))
        label = f"{shorten_middle(named, MOST)} ({group.height:,})"
        ax.scatter(group["x"], group["y"], color=shade, marker=marker, label=label, **marks)
        if value in names and known.height >= FEW:
            _write_name(ax, names[value], group)
    if rest := values[MAX_CATEGORIES:]:
        others = known.filter(pl.col(color).is_in(rest))
        label = f"{len(rest)} other values ({others.height:,})"
        ax.scatter(
            others["x"], others["y"], color=GREY, marker="x", label=label, **marks | {"linewidths": 0.5}
        )
    longest = max((len(str(text)) for text in ax.get_legend_handles_labels()[1]), default=0)
    beside: dict[str, Any] = {
        "loc": "center left",
        "bbox_to_anchor": (1, 0.5),
        "ncols": 1 + (len(values) > 14),
    }
    # beside the map, long names would leave too little space for it
    below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": 2}
    ax.legend(
        title=color,
        frameon=False,
        fontsize=TEXT,
        markerscale=max(1.0, np.sqrt(30 / marks["s"])),
        **(below if longest > MAX_BESIDE else beside),
    )


def _tell_apart(names: Mapping[Any, str]) -> dict[Any, str]:
    """Start each name with its value if two values have the same name."""
    if len(set(names.values())) == len(names):
        return dict(names)
    return {value: f"{value}: {name}" for value, name in names.items()}


def _write_name(ax: Axes, name: str, group: pl.DataFrame) -> None:
    place = (group["x"].median(), group["y"].median())
    text = ax.annotate(
        name.replace(", ", ",\n"), place, ha="center", va="center", fontsize=TEXT, weight="bold"
    )
    text.set_path_effects([effects.withStroke(linewidth=3, foreground="white")])


def order_values(values: pl.Series) -> list[Any]:
    """Return the values of a column in the order of its Enum; numbers ascending; else the most frequent first."""
    present = values.drop_nulls()
    if isinstance(present.dtype, pl.Enum):
        seen = set(present.unique().to_list())
        return [v for v in present.dtype.categories.to_list() if v in seen]
    if present.dtype.is_numeric() or present.dtype == pl.Boolean:
        return present.unique().sort().to_list()
    counts = present.cast(pl.String).value_counts(name="n")
    return counts.sort(["n", present.name], descending=[True, False])[present.name].to_list()
