"""Counts, shares and distributions of single columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.stats import wilson_interval
from facestats.core.tables import KEY, check_columns
from facestats.plots.fitting import MOST, shorten_middle
from facestats.plots.intervals import draw_intervals
from facestats.plots.maps import order_values
from facestats.plots.style import (
    BLUE,
    COLORS,
    DARK,
    GREY,
    ORANGE,
    TEXT,
    draw_nothing,
    finish,
    name_groups,
    new_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MADE_BY = "the earlier stages; give the name of one of its columns"
MAX_GROUPS = len(COLORS)


def label_bars(
    table: pl.DataFrame, attribute: str, *, by: str | None = None, level: float = 0.95, ax: Axes | None = None
) -> Axes:
    """Draw the share of each label with its interval (Wilson 1927), over all faces or per group.

    Parameters
    ----------
    table
        Rows with the columns `attribute` and `by`; rows without a label are left out, and the title counts them.
    attribute
        Column of labels.
    by
        Column of groups, at most 8; shares are within groups.
    level
        Coverage of the intervals, 0 to 1.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a bar with an interval per label, and per group if `by` is given.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.label_bars(project.text_labels, "text_age")
    >>> [float(bar.get_width()) for bar in ax.patches]
    [0.5, 0.5]
    """
    check_columns(table, attribute, *([by] if by else []), made_by=MADE_BY)
    known = table.drop_nulls([attribute, by] if by else attribute)
    options = _options(table[attribute])
    groups = order_values(known[by]) if by else [None]
    unknown = f", {n:,} without a label" if (n := table.height - known.height) else ""
    title = f"{attribute}, n = {known.height:,}{unknown}"
    if known.is_empty():
        return draw_nothing(ax, "no labels", title=title)
    if len(groups) > MAX_GROUPS:
        msg = (
            f"{by!r} has {len(groups)} groups, but at most {MAX_GROUPS} can be distinguished."
            f" Filter the table first: table.filter(pl.col({by!r}).is_in([...]))."
        )
        raise ValueError(msg)
    ax = new_axes(ax, height=0.9 + 0.28 * len(options) * max(1.0, 0.6 * len(groups)))
    thickness = 0.8 / len(groups)
    for i, group in enumerate(groups):
        labels = (known.filter(pl.col(by) == group) if by else known)[attribute].cast(pl.String)
        counts = np.array([(labels == option).sum() for option in options])
        low, high = wilson_interval(counts, np.full(len(options), len(labels)), level=level)
        share = counts / max(len(labels), 1)
        places = np.arange(len(options)) + (i - (len(groups) - 1) / 2) * thickness
        name = f"{group} (n = {len(labels):,})" if by else f"n = {len(labels):,}"
        ax.barh(places, share, height=thickness * 0.9, color=COLORS[i], label=name)
        draw_intervals(ax, share, low, high, at=places, colors=DARK, fmt="none", elinewidth=1)
    ax.set_yticks(range(len(options)), options)
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter("{x:.0%}")
    if by:
        name_groups(ax, by)
    return finish(ax, title=title, xlabel=f"share of faces, {level:.0%} interval")


def probability_bars(row: pl.DataFrame, attribute: str, *, prefix: str = "", ax: Axes | None = None) -> Axes:
    """Draw the probability of each option of one attribute for one face.

    Parameters
    ----------
    row
        One row of attributes or master, with `attribute` (Enum) and `attribute`_probs.
    attribute
        An attribute.
    prefix
        ``"text_"`` for the labels of texts.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a bar per option, that of the label in blue; if the face has no label, a line of text.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.probability_bars(project.labels.head(1), "hair_color")
    >>> ax.get_title(loc="left")
    'hair_color: face_000.png'
    """
    column = prefix + attribute
    check_columns(
        row, column, f"{column}_probs", made_by="fs.label_attributes (notebooks/03_attributes.ipynb)"
    )
    if row.height != 1:
        msg = f"probability_bars shows one face, got {row.height} rows; choose one: df.filter(image_id=...)"
        raise ValueError(msg)
    options = _options(row[column])
    values = row[f"{column}_probs"][0]
    ax = new_axes(ax, height=0.8 + 0.26 * len(options))
    name = shorten_middle(row[KEY][0], MOST) if KEY in row.columns else ""
    if values is None:
        ax.text(0.5, 0.5, "no label", transform=ax.transAxes, ha="center", va="center")
        return finish(ax, title=f"{column}: {name}")
    shares = np.asarray(values, dtype=np.float64)
    bars = ax.barh(range(len(options)), shares, color=[BLUE if s == shares.max() else GREY for s in shares])
    ax.bar_label(bars, [f"{s:.2f}" for s in shares], padding=3, fontsize=TEXT - 1)
    ax.set_yticks(range(len(options)), options)
    ax.set_xlim(0, 1.08)
    ax.invert_yaxis()
    return finish(ax, title=f"{column}: {name}", xlabel="probability")


def histogram(
    table: pl.DataFrame, column: str, *, by: str | None = None, n_bins: int = 30, ax: Axes | None = None
) -> Axes:
    """Draw the distribution of a number, over all faces or as outlines per group.

    Parameters
    ----------
    table
        Rows with the columns `column` and `by`.
    column
        Column of numbers; rows without one are left out, and the title counts them.
    by
        Column of groups; the first 8 are drawn.
    n_bins
        Number of bars.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a histogram, or one outline per group; if there are no numbers, a line of text.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.histogram(project.faces, "sharpness", n_bins=5)
    >>> ax.get_title(loc="left"), len(ax.patches)
    ('sharpness, n = 12', 5)
    """
    check_columns(table, column, *([by] if by else []), made_by=MADE_BY)
    if not table[column].dtype.is_numeric():
        msg = f"{column!r} is {table[column].dtype}, no numbers; for labels use fs.plots.label_bars"
        raise ValueError(msg)
    known = table.drop_nulls(column).filter(pl.col(column).cast(pl.Float64).is_finite())
    unknown = f", {n:,} missing" if (n := table.height - known.height) else ""
    title = f"{column}, n = {known.height:,}{unknown}"
    if known.is_empty():
        return draw_nothing(ax, "no numbers", title=title)
    values = known[column].cast(pl.Float64).to_numpy()
    ax = new_axes(ax, height=3.0)
    edges = np.histogram_bin_edges(values, bins=n_bins)
    if known[column].dtype.is_integer():
        # each bar covers the same number of whole values: otherwise some would cover one more than others
        step = max(1, round((values.max() - values.min()) / n_bins))
        edges = np.arange(values.min() - 0.5, values.max() + step + 0.5, step)
    if by is None:
        ax.hist(values, bins=edges, color=BLUE)
    else:
        for i, group in enumerate(order_values(known[by])[:MAX_GROUPS]):
            part = known.filter(pl.col(by) == group)[column].cast(pl.Float64).to_numpy()
            name = f"{group} (n = {len(part):,})"
            ax.hist(part, bins=edges, histtype="step", linewidth=1.8, color=COLORS[i], label=name)
        name_groups(ax, by)
    return finish(ax, title=title, xlabel=column, ylabel="faces")


def score_histogram(
    table: pl.DataFrame, attribute: str, *, threshold: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the distribution of the scores of one attribute, and what a threshold would keep.

    Parameters
    ----------
    table
        Rows with the column `attribute`_score, 0 to 1.
    attribute
        An attribute.
    threshold
        If given, a line is drawn there, with the share of labels that
        :func:`facestats.attributes.mask_low_scores` would keep.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a histogram with bars of width 0.025, and the line of the threshold.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ax = fs.plots.score_histogram(project.labels, "age", threshold=0.5)
    >>> ax.texts[0].get_text()
    '100% kept'
    """
    column = f"{attribute}_score"
    check_columns(table, column, made_by="fs.label_attributes (notebooks/03_attributes.ipynb)")
    scores = table[column].drop_nulls().to_numpy()
    ax = new_axes(ax, height=3.0)
    ax.hist(scores, bins=np.linspace(0, 1, 41), color=BLUE)
    if threshold is not None:
        ax.axvline(threshold, color=ORANGE, linewidth=1.8)
        kept = f"{(scores >= threshold).mean():.0%} kept" if len(scores) else "no scores"
        ax.text(threshold + 0.01, 0.97, kept, color=ORANGE, transform=ax.get_xaxis_transform(), va="top")
    return finish(ax, title=f"{attribute}, n = {len(scores):,}", xlabel="score of the label", ylabel="faces")


def _options(values: pl.Series) -> list[str]:
    """Return all options of an Enum, else the values present."""
    if isinstance(values.dtype, pl.Enum):
        return values.dtype.categories.to_list()
    return [str(v) for v in order_values(values)]
