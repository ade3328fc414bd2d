"""What human labels are worth: accuracy of probes by the number of labels, beside that of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from matplotlib.ticker import NullFormatter, PercentFormatter, ScalarFormatter

from facestats.core.tables import check_columns
from facestats.plots.style import BLUE, GREY, ORANGE, TEXT, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MADE_BY = "fs.attributes.fit_probes(...)"


def learning_curve(curves: pl.DataFrame, attribute: str, *, ax: Axes | None = None) -> Axes:
    """Accuracy of a probe on held-out faces by the number of labels that it learnt from, with 95 % intervals.

    The band across is what the prompts reach on the same faces, where there are prompts to compare with.

    Parameters
    ----------
    curves
        ``probes.curves`` of :func:`facestats.attributes.fit_probes`.
    attribute
        Which attribute.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(curves, "attribute", "n_labels", "accuracy", "low", "high", "zero_shot", made_by=MADE_BY)
    rows = curves.filter(pl.col("attribute") == attribute).sort("n_labels")
    if rows.is_empty():
        found = curves["attribute"].unique().sort().to_list()
        msg = f"no probe was fitted for {attribute!r}; there are {found}. Label more faces with fs.label_by_hand."
        raise ValueError(msg)
    ax = new_axes(ax, height=3.2)
    n, accuracy = rows["n_labels"], rows["accuracy"]
    error = [accuracy - rows["low"], rows["high"] - accuracy]
    ax.errorbar(n, accuracy, yerr=error, color=BLUE, marker="o", capsize=3, label="probe")
    prompts = rows.row(0, named=True)
    if prompts["zero_shot"] is not None:
        ax.axhline(prompts["zero_shot"], color=ORANGE, linewidth=1.6, label="prompts")
        ax.axhspan(prompts["zero_shot_low"], prompts["zero_shot_high"], color=ORANGE, alpha=0.15, linewidth=0)
    ax.set_xscale("log", base=2)
    ax.set_xticks(n.to_list())
    ax.xaxis.set_major_formatter(ScalarFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set_ylim(max(0.0, ax.get_ylim()[0]), min(1.01, ax.get_ylim()[1]))
    ax.legend(frameon=False, fontsize=TEXT, loc="lower right")
    return finish(
        ax,
        title=f"{attribute}, up to {n[-1]:,} labels",
        xlabel="labels learnt from",
        ylabel="right, 95 % interval",
    )


def gain_bars(report: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Gain in accuracy of each probe over the prompts, with 95 % intervals; promoted probes are filled.

    Parameters
    ----------
    report
        ``probes.report`` of :func:`facestats.attributes.fit_probes`; attributes without a comparison are counted in the title.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(report, "attribute", "gain", "gain_low", "gain_high", "promoted", made_by=MADE_BY)
    rows = report.drop_nulls("gain").sort("gain")
    ax = new_axes(ax, height=1.1 + 0.3 * max(rows.height, 1))
    for y, row in enumerate(rows.iter_rows(named=True)):
        color = BLUE if row["promoted"] else GREY
        ax.plot([row["gain_low"], row["gain_high"]], [y, y], color=color, linewidth=1.8)
        ax.plot(
            row["gain"], y, marker="o", color=color, markerfacecolor=color if row["promoted"] else "white"
        )
    names = [f"{a} (n = {n:,})" for a, n in rows.select("attribute", "n_tested").iter_rows()]
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(rows.height), names)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    without = f", {n} without a comparison" if (n := report.height - rows.height) else ""
    title = f"probes against prompts: {rows['promoted'].sum()} of {rows.height} promoted{without}"
    return finish(ax, title=title, xlabel="gain in accuracy on held-out faces, 95 % interval")
