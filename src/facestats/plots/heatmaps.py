"""Two columns against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.stats import cohen_kappa
from facestats.core.tables import check_columns
from facestats.plots.maps import order_values
from facestats.plots.style import DIVERGING, GREY, SEQUENTIAL, TEXT, finish, new_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MADE_BY = "the earlier stages; give the names of its columns"


def confusion(table: pl.DataFrame, a: str, b: str, *, ax: Axes | None = None) -> Axes:
    """Draw how often each label of `a` occurs with each label of `b`.

    Parameters
    ----------
    table
        Rows with both columns; rows without one of the labels are left out, and the title counts them.
    a, b
        Two columns of labels, such as ``age`` and ``text_age``; with the same options, the title has agreement and
        Cohen's kappa (Cohen 1960).
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a matrix of counts with a color bar, labels of `a` in rows; the color is the share within the row.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.confusion(project.master, "text_age", "image_age")
    >>> ax.get_title(loc="left")
    "n = 12, agreement 50%, Cohen's kappa 0.00"
    """
    check_columns(table, a, b, made_by=MADE_BY)
    known = table.select(pl.col(a, b)).drop_nulls()
    if a == b:
        msg = f"a and b are both {a!r}; give two different columns"
        raise ValueError(msg)
    rows, columns = _names(table[a]), _names(table[b])
    counts = _count(known, (a, rows), (b, columns))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 0.55 * max(len(rows), 4)
    ax = new_axes(ax, height=side + 1.4, width=0.75 * max(len(columns), 4) + 2.6)
    image = ax.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    for (i, j), count in np.ndenumerate(counts):
        shade = "white" if shares[i, j] < 0.55 else "black"
        ax.text(j, i, f"{count:,}", ha="center", va="center", color=shade, fontsize=TEXT)
    _ticks(ax, rows, columns)
    ax.figure.colorbar(image, ax=ax, label=f"share within {a}")
    title = f"n = {known.height:,}"
    if rows == columns and known.height:
        kappa = cohen_kappa(counts)
        beyond_chance = "one label only" if np.isnan(kappa) else f"Cohen's kappa {kappa:.2f}"
        title += f", agreement {np.trace(counts) / known.height:.0%}, {beyond_chance}"
    title += f"\n{n:,} rows lack a label" if (n := table.height - known.height) else ""
    return finish(ax, title=title, xlabel=b, ylabel=a)


def cooccurrence(
    table: pl.DataFrame, attributes: Sequence[str], *, min_count: int = 5, ax: Axes | None = None
) -> Axes:
    """Draw how much more or less often two labels occur together than by chance, for every pair of labels.

    The color is the logarithm to base 2 of observed over expected count (+1 is twice as often). Pairs that are
    expected fewer than `min_count` times are blank, because their ratio depends mostly on chance.

    Parameters
    ----------
    table
        Rows with the columns of labels.
    attributes
        Two or more columns of labels.
    min_count
        Lowest expected count of a pair that is shown.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a symmetric matrix with a color bar, with lines between attributes.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.cooccurrence(project.text_labels, ["text_age", "text_hair_color"], min_count=1)
    >>> ax.get_title(loc="left")
    'text_age, text_hair_color, n = 12'
    """
    check_columns(table, *attributes, made_by=MADE_BY)
    if len(attributes) < 2:
        msg = f"give two or more attributes; got {list(attributes)}"
        raise ValueError(msg)
    parts = [(name, _names(table[name])) for name in attributes]
    blocks = [[_lift(table, p, q, least=min_count) for q in parts] for p in parts]
    lift = np.block(blocks)
    names = [option for _, options in parts for option in options]
    side = 1.5 + 0.24 * len(names)
    ax = new_axes(ax, height=side, width=side + 1.2)
    ax.set_facecolor(GREY)
    image = ax.imshow(lift, cmap=DIVERGING, vmin=-2, vmax=2)
    for edge in np.cumsum([len(options) for _, options in parts])[:-1]:
        ax.axhline(edge - 0.5, color="black", linewidth=0.8)
        ax.axvline(edge - 0.5, color="black", linewidth=0.8)
    _ticks(ax, names, names)
    ax.figure.colorbar(image, ax=ax, label="log2(observed / expected)", extend="both", shrink=0.8)
    return finish(ax, title=f"{', '.join(attributes)}, n = {table.height:,}")


def _lift(
    table: pl.DataFrame, a: tuple[str, list[str]], b: tuple[str, list[str]], *, least: int
) -> NDArray[np.float64]:
    if a[0] == b[0]:
        return np.full((len(a[1]), len(b[1])), np.nan)
    known = table.select(a[0], b[0]).drop_nulls()
    counts = _count(known, a, b)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / max(known.height, 1)
    # half a face is added to both, so that the ratio of a pair that never occurs is finite
    ratio = np.log2((counts + 0.5) / (expected + 0.5))
    return np.where(expected >= least, ratio, np.nan)


def _count(known: pl.DataFrame, a: tuple[str, list[str]], b: tuple[str, list[str]]) -> NDArray[np.int64]:
    counts = np.zeros((len(a[1]), len(b[1])), dtype=np.int64)
    pairs = known.select(a=pl.col(a[0]).cast(pl.String), b=pl.col(b[0]).cast(pl.String))
    for x, y, n in pairs.group_by("a", "b").len().iter_rows():
        counts[a[1].index(x), b[1].index(y)] = n
    return counts


def _names(values: pl.Series) -> list[str]:
    if isinstance(values.dtype, pl.Enum):
        return values.dtype.categories.to_list()
    return sorted(map(str, order_values(values)))


def _ticks(ax: Axes, rows: list[str], columns: list[str]) -> None:
    ax.set_xticks(range(len(columns)), columns, rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), rows)
