"""How reliable labels are: per group, per probability, per prompt."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from matplotlib.ticker import PercentFormatter

from facestats.audit.label_sources import probs_column
from facestats.audit.temperature import apply_temperature, calibration_bins, coverage_accuracy
from facestats.core.stats import wilson_interval
from facestats.core.tables import check_columns
from facestats.plots.intervals import draw_intervals, name_rows
from facestats.plots.style import BLUE, GREY, ORANGE, TEXT, draw_nothing, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

LINE = 48  # characters in one line of the name of a row
_TRUTH = "fs.human_labels.read_truth; join it with the labels on image_id"


def group_bars(
    audit: pl.DataFrame,
    attribute: str = "all",
    *,
    source: str = "merged",
    by: str | None = None,
    metric: str = "accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Draw the score of every group with its interval, and that of all faces as a line.

    Parameters
    ----------
    audit
        Table of :func:`facestats.audit.accuracy`.
    attribute
        An attribute; ``all`` is the mean over attributes, which has no other metric than accuracy.
    source
        ``merged``, ``image``, ``text``, ``probe``, or the prefix of a classifier.
    by
        Grouping, such as ``gender`` or ``gender+ethnicity``; None for all groups of single attributes.
    metric
        ``accuracy``, ``balanced_accuracy`` or ``macro_f1``.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a point with a 95 % interval per group, orange if the group differs from the others (adjusted p < .05);
    without groups, a line of text.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> audit = fs.audit.accuracy(project.master, project.attributes, project.truth, by=["age"])
    >>> ax = fs.plots.group_bars(audit, "age")
    >>> ax.get_title(loc="left")
    'age, merged labels, n = 12'
    """
    check_columns(audit, "attribute", "by", "group", metric, made_by="fs.audit.accuracy")
    rows = audit.filter(attribute=attribute, source=source)
    whole = rows.filter(by="all")
    kept = (
        pl.col("by") == by if by else (pl.col("by") != "all") & ~pl.col("by").str.contains("+", literal=True)
    )
    shown = rows.filter(kept).drop_nulls(metric)
    what = "all attributes" if attribute == "all" else attribute
    title = f"{what}, {source} labels, n = {whole['n'][0] if whole.height else 0:,}"
    if shown.is_empty():
        return draw_nothing(ax, "no groups with known truth", title=title)
    ax = new_axes(ax, height=1.0 + 0.27 * shown.height)
    names = [f"{g} (n = {n:,})" for g, n in shown.select("group", "n").iter_rows()]
    colors = [ORANGE if p < 0.05 else BLUE for p in shown["p_adjusted"].fill_null(1.0)]
    draw_intervals(ax, shown[metric], shown[f"{metric}_low"], shown[f"{metric}_high"], colors=colors)
    name_rows(ax, names, n=shown.height)
    if whole.height and whole[metric][0] is not None:
        ax.axvline(whole[metric][0], color=GREY, linewidth=1.2, zorder=0)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    xlabel = f"{metric.replace('_', ' ')}, 95% interval; orange: differs from the others (adjusted p < .05)"
    return finish(ax, title=title, xlabel=xlabel)


def calibration_curve(
    table: pl.DataFrame, attribute: str, *, temperature: float | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the accuracy of labels against their probability; on the diagonal, both are equal.

    Parameters
    ----------
    table
        Rows with `attribute`_probs, or those of its probe, and ``true_`` `attribute`.
    attribute
        An attribute.
    temperature
        If given, a second curve shows the probabilities after temperature scaling (Guo et al. 2017): their
        logarithms divided by it.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a curve through bins of equal size, with 95 % intervals (Wilson 1927), and the diagonal.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> known = project.labels.join(project.truth, on="image_id")
    >>> ax = fs.plots.calibration_curve(known, "age", temperature=2.0)
    >>> ax.get_title(loc="left")
    'age, n = 12'
    """
    probs, right = _probs(table, attribute)
    ax = new_axes(ax, height=4.4, width=5.0)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    if len(right):
        curves = [("as stated", probs)]
        if temperature is not None:
            curves.append((f"temperature {temperature:.2f}", apply_temperature(probs, temperature)))
        for i, (name, values) in enumerate(curves):
            stated, share, n = calibration_bins(values.max(axis=1), right)
            low, high = wilson_interval(share * n, n)
            style: dict[str, Any] = {"fmt": "o-", "markersize": 4, "label": name}
            draw_intervals(ax, share, low, high, at=stated, vertical=True, colors=(BLUE, ORANGE)[i], **style)
        ax.legend(frameon=False, fontsize=TEXT, loc="upper left")
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    return finish(
        ax,
        title=f"{attribute}, n = {len(right):,}",
        xlabel="probability of the label (bins of equal size)",
        ylabel="share right, 95% interval",
    )


def coverage_curve(table: pl.DataFrame, attribute: str, *, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of the labels that are kept, as the threshold on their score falls.

    Parameters
    ----------
    table
        Rows with `attribute`_probs, or those of its probe, and ``true_`` `attribute`.
    attribute
        An attribute.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a step curve with a band, its 95 % interval (Wilson 1927).

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> known = project.labels.join(project.truth, on="image_id")
    >>> ax = fs.plots.coverage_curve(known, "age")
    >>> ax.get_xlabel()
    'share of faces that keep a label'
    """
    probs, right = _probs(table, attribute)
    ax = new_axes(ax, height=3.6)
    if len(right):
        kept, share, _ = coverage_accuracy(probs.max(axis=1), right)
        low, high = wilson_interval(share * kept * len(right), kept * len(right))
        ax.fill_between(kept, low, high, color=BLUE, alpha=0.2, linewidth=0, step="post")
        ax.step(kept, share, color=BLUE, linewidth=1.8, where="post")
        ax.set_ylim(max(0.0, float(share.min()) - 0.1), 1.005)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    title = f"{attribute}, n = {len(right):,}"
    return finish(ax, title=title, xlabel="share of faces that keep a label", ylabel="right, 95% interval")


def flip_bars(flips: pl.DataFrame, *, n_bars: int = 15, ax: Axes | None = None) -> Axes:
    """Draw the share of labels that change with a prompt or a variant of the picture, the largest first.

    Parameters
    ----------
    flips
        Table of :func:`facestats.audit.prompts` or :func:`facestats.audit.stability`.
    n_bars
        Highest number of rows.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a point with a 95 % interval per prompt or variant; without any, a line of text.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> prompts = fs.audit.prompts(project.embeddings, project.attributes, project.encoder)
    >>> ax = fs.plots.flip_bars(prompts, n_bars=3)
    >>> ax.get_xlabel()
    'labels that change without this wording, 95% interval'
    """
    check_columns(
        flips, "attribute", "flips", "low", "high", "n", made_by="fs.audit.prompts or fs.audit.stability"
    )
    shown = flips.drop_nulls("flips").sort("flips", descending=True, maintain_order=True).head(n_bars)
    what = "variant" if "variant" in shown.columns else "prompt"
    names = [textwrap.fill(f"{row['attribute']}: {row[what]}", LINE) for row in shown.iter_rows(named=True)]
    if shown.is_empty():
        return draw_nothing(ax, f"no {what} was left out or changed", title="n = 0")
    lines = max(name.count("\n") + 1 for name in names)
    ax = new_axes(ax, height=1.0 + (0.12 + 0.15 * lines) * shown.height)
    draw_intervals(ax, shown["flips"], shown["low"], shown["high"])
    name_rows(ax, names, n=shown.height)
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    few, many = min(shown["n"].to_list()), max(shown["n"].to_list())
    n = f"n = {many:,} labels each" if few == many else f"n = {few:,} to {many:,} labels"
    reason = "in such a variant of the picture" if what == "variant" else "without this wording"
    return finish(ax, title=n, xlabel=f"labels that change {reason}, 95% interval")


def _probs(table: pl.DataFrame, attribute: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the probabilities, and whether the label is right, of the rows in which both are known."""
    (_, column), true = probs_column(table.columns, attribute), f"true_{attribute}"
    check_columns(table, column, true, made_by=_TRUTH)
    known = table.select(column, true).drop_nulls()
    probs = known[column].to_numpy().astype(np.float64)
    if not known.height:
        return np.zeros((0, 2)), np.zeros(0, dtype=bool)
    return probs, probs.argmax(axis=1) == known[true].to_physical().to_numpy()
