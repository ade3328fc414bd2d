"""What texts say about attributes, and where they disagree with pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.stats import wilson_interval
from facestats.core.tables import TableError, check_columns
from facestats.plots.intervals import draw_intervals
from facestats.plots.style import BLUE, DARK, finish, new_axes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

_MADE_BY = "fs.label_texts (notebooks/04_text_labels.ipynb)"


def text_coverage_bars(
    text_labels: pl.DataFrame,
    attributes: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of texts that say each attribute, with its interval (Wilson 1927).

    Parameters
    ----------
    text_labels
        Table of stage 04, or master; rows without a text are left out.
    attributes
        Names without ``text_``; by default all of the table.
    level
        Coverage of the intervals, 0 to 1.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a bar with an interval per attribute; its name has both counts.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.text_coverage_bars(project.text_labels)
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['age (12 of 12)', 'hair_color (12 of 12)']
    """
    names = _names(text_labels, attributes)
    read = text_labels.drop_nulls(f"text_{names[0]}_score")
    said = np.array([read[f"text_{name}"].count() for name in names])
    return _share_bars(
        names, said, np.full(len(names), read.height), level=level, ax=ax, what=f"texts, n = {read.height:,}"
    )


def disagreement_bars(
    table: pl.DataFrame,
    attributes: Sequence[str] | None = None,
    *,
    image: str = "",
    level: float = 0.95,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of faces whose picture and text have different labels, with its interval (Wilson 1927).

    Parameters
    ----------
    table
        Attributes joined with text labels, or master; faces without both labels are left out.
    attributes
        Names; by default all that have labels of texts.
    image
        Prefix of the labels of pictures: none in a join of both tables, ``"image_"`` in master.
    level
        Coverage of the intervals, 0 to 1.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a bar with an interval per attribute; its name has both counts.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.disagreement_bars(project.master, image="image_")
    >>> ax.get_yticklabels()[0].get_text()
    'age (6 of 12)'
    """
    names = _names(table, attributes)
    check_columns(
        table,
        *[f"{image}{name}" for name in names],
        made_by="fs.label_attributes (notebooks/03_attributes.ipynb)",
    )
    pairs = [
        table.select(
            pl.col(f"{image}{name}").cast(pl.String).alias("a"),
            pl.col(f"text_{name}").cast(pl.String).alias("b"),
        ).drop_nulls()
        for name in names
    ]
    differ = np.array([pair.filter(pl.col("a") != pl.col("b")).height for pair in pairs])
    totals = np.array([pair.height for pair in pairs])
    return _share_bars(names, differ, totals, level=level, ax=ax, what="faces with both labels")


def _names(table: pl.DataFrame, attributes: Sequence[str] | None) -> list[str]:
    found = [
        c.removeprefix("text_").removesuffix("_probs")
        for c in table.columns
        if c.startswith("text_") and c.endswith("_probs")
    ]
    names = found if attributes is None else list(attributes)
    if not names or (unknown := [name for name in names if name not in found]):
        msg = (
            f"the frame has no text labels of {unknown if names else 'any attribute'}; it has those of {found}."
            f" {_MADE_BY} makes them."
        )
        raise TableError(msg)
    return names


def _share_bars(
    names: list[str],
    counts: np.ndarray,
    totals: np.ndarray,
    *,
    level: float,
    ax: Axes | None,
    what: str,
) -> Axes:
    low, high = wilson_interval(counts, totals, level=level)
    share = counts / np.maximum(totals, 1)
    ax = new_axes(ax, height=0.9 + 0.3 * len(names))
    places = np.arange(len(names))
    ax.barh(places, share, color=BLUE)
    draw_intervals(ax, share, low, high, colors=DARK, fmt="none", elinewidth=1)
    ax.set_yticks(
        places, [f"{name} ({n:,} of {total:,})" for name, n, total in zip(names, counts, totals, strict=True)]
    )
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter("{x:.0%}")
    return finish(ax, xlabel=f"share of {what}, {level:.0%} interval")
