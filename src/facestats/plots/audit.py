"""How far labels can be trusted: per group, per probability, per prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from matplotlib.ticker import PercentFormatter

from facestats.audit.label_sources import probs_column
from facestats.audit.temperature import apply_temperature, calibration_bins, coverage_accuracy
from facestats.core.stats import wilson_interval
from facestats.core.tables import check_columns
from facestats.plots.style import BLUE, GREY, ORANGE, TEXT, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

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
    """Score of every group with its interval, and that of all faces as a line.

    Parameters
    ----------
    audit
        Table of :func:`facestats.audit.accuracy`.
    attribute
        Which attribute; ``all`` is the mean over attributes, for which there is only accuracy.
    source
        ``merged``, ``image``, ``text``, ``probe``, or the prefix of a classifier.
    by
        Which groups, such as ``gender`` or ``gender+ethnicity``; None for all groups of single attributes.
    metric
        ``accuracy``, ``balanced_accuracy`` or ``macro_f1``.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(audit, "attribute", "by", "group", metric, made_by="fs.audit.accuracy")
    rows = audit.filter(attribute=attribute, source=source)
    whole = rows.filter(by="all")
    kept = (
        pl.col("by") == by if by else (pl.col("by") != "all") & ~pl.col("by").str.contains("+", literal=True)
    )
    shown = rows.filter(kept).drop_nulls(metric)
    ax = new_axes(ax, height=1.0 + 0.27 * max(shown.height, 1))
    names = [f"{g} (n = {n:,})" for g, n in shown.select("group", "n").iter_rows()]
    clear = (shown["p_adjusted"].fill_null(1.0) < 0.05).to_numpy()
    _dots(ax, shown, metric, names, colors=np.where(clear, ORANGE, BLUE))
    if whole.height and whole[metric][0] is not None:
        ax.axvline(whole[metric][0], color=GREY, linewidth=1.2, zorder=0)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    what = "all attributes" if attribute == "all" else attribute
    total = f"{whole['n'][0]:,}" if whole.height else "0"
    xlabel = f"{metric.replace('_', ' ')}, 95% interval; orange: differs from the others (adjusted p < .05)"
    return finish(ax, title=f"{what}, {source} labels, n = {total}", xlabel=xlabel)


def calibration_curve(
    table: pl.DataFrame, attribute: str, *, temperature: float | None = None, ax: Axes | None = None
) -> Axes:
    """Share of labels that are right against the probability that they state; the diagonal means what it says.

    Parameters
    ----------
    table
        Rows with `attribute`_probs, or those of its probe, and ``true_`` `attribute`.
    attribute
        Which attribute.
    temperature
        Also draws the curve after dividing the logarithms by it.
    ax
        Axes to draw on; by default a new figure.
    """
    probs, right = _probs(table, attribute)
    ax = new_axes(ax, height=4.4, width=5.0)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=1)
    if len(right):
        curves = [("as stated", probs)]
        if temperature is not None:
            curves.append((f"temperature {temperature:.2f}", apply_temperature(probs, temperature)))
        for i, (name, values) in enumerate(curves):
            said, was, n = calibration_bins(values.max(axis=1), right)
            low, high = wilson_interval(was * n, n)
            error = np.clip(np.stack([was - low, high - was]), 0, None)
            ax.errorbar(
                said, was, yerr=error, fmt="o-", color=(BLUE, ORANGE)[i], markersize=4, capsize=2, label=name
            )
        ax.legend(frameon=False, fontsize=TEXT, loc="upper left")
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
    return finish(
        ax,
        title=f"{attribute}, n = {len(right):,}",
        xlabel="probability of the label (bins of equal size)",
        ylabel="share right, 95% interval",
    )


def coverage_curve(table: pl.DataFrame, attribute: str, *, ax: Axes | None = None) -> Axes:
    """Share of labels that are right among those kept, as the threshold on the score falls.

    Parameters
    ----------
    table
        Rows with `attribute`_probs, or those of its probe, and ``true_`` `attribute`.
    attribute
        Which attribute.
    ax
        Axes to draw on; by default a new figure.
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
    """Share of labels that change, the most changeable first.

    Parameters
    ----------
    flips
        Table of :func:`facestats.audit.prompts` or :func:`facestats.audit.stability`.
    n_bars
        Rows to show.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(
        flips, "attribute", "flips", "low", "high", "n", made_by="fs.audit.prompts or fs.audit.stability"
    )
    shown = flips.drop_nulls("flips").sort("flips", descending=True, maintain_order=True).head(n_bars)
    what = "variant" if "variant" in shown.columns else "prompt"
    names = [f"{row['attribute']}: {_short(row[what])}" for row in shown.iter_rows(named=True)]
    ax = new_axes(ax, height=1.0 + 0.27 * max(shown.height, 1))
    _dots(ax, shown, "flips", names, colors=np.full(shown.height, BLUE))
    ax.set_xlim(left=0)
    ax.xaxis.set_major_formatter(PercentFormatter(1))
    n = f"n = {max(shown['n'].to_list()):,} labels each" if shown.height else "n = 0"
    reason = "in such a variant of the picture" if what == "variant" else "without this wording"
    return finish(ax, title=n, xlabel=f"labels that change {reason}, 95% interval")


def _short(text: str) -> str:
    return text if len(text) <= 46 else f"{text[:45]}…"


def _dots(ax: Axes, table: pl.DataFrame, column: str, names: list[str], *, colors: NDArray[np.str_]) -> None:
    ends = (column, "low", "high") if "low" in table.columns else (column, f"{column}_low", f"{column}_high")
    value, low, high = (table[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ends)
    error = np.nan_to_num(np.clip(np.stack([value - low, high - value]), 0, None))
    rows = np.arange(len(value))
    for color in (BLUE, ORANGE):
        one = colors == color
        ax.errorbar(value[one], rows[one], xerr=error[:, one], fmt="o", color=color, markersize=5, capsize=2)
    ax.set_yticks(rows, names, fontsize=TEXT)
    ax.set_ylim(len(value) - 0.5, -0.5)


def _probs(table: pl.DataFrame, attribute: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Probabilities and whether the label is right, of the rows where both are known."""
    (_, column), true = probs_column(table.columns, attribute), f"true_{attribute}"
    check_columns(table, column, true, made_by=_TRUTH)
    known = table.select(column, true).drop_nulls()
    probs = known[column].to_numpy().astype(np.float64)
    if not known.height:
        return np.zeros((0, 2)), np.zeros(0, dtype=bool)
    return probs, probs.argmax(axis=1) == known[true].to_physical().to_numpy()
