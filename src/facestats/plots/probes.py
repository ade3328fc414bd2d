"""Accuracy of probes by the number of human labels, compared with that of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from matplotlib.ticker import NullFormatter, PercentFormatter, ScalarFormatter

from facestats.core.tables import check_columns
from facestats.plots.intervals import draw_intervals
from facestats.plots.style import BLUE, GREY, ORANGE, TEXT, draw_nothing, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MADE_BY = "fs.attributes.fit_probes(...)"


def learning_curve(curves: pl.DataFrame, attribute: str, *, ax: Axes | None = None) -> Axes:
    """Draw the accuracy of a probe on held-out faces by the number of labels that it was trained on.

    If the attribute has prompts, a horizontal line with a band shows their accuracy on the same faces.

    Parameters
    ----------
    curves
        ``probes.curves`` of :func:`facestats.attributes.fit_probes`.
    attribute
        An attribute.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: points with 95 % intervals, joined by a line, over the number of labels on a logarithmic scale.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> curves = pl.DataFrame(
    ...     {"attribute": ["age"] * 2, "n_labels": [25, 50], "accuracy": [0.7, 0.8], "low": [0.6, 0.7]}
    ... ).with_columns(high=pl.col("accuracy") + 0.1, zero_shot=None)
    >>> ax = fs.plots.learning_curve(curves, "age")
    >>> ax.get_title(loc="left")
    'age, up to 50 labels'
    """
    check_columns(curves, "attribute", "n_labels", "accuracy", "low", "high", "zero_shot", made_by=MADE_BY)
    rows = curves.filter(pl.col("attribute") == attribute).sort("n_labels")
    if rows.is_empty():
        found = curves["attribute"].unique().sort().to_list()
        msg = (
            f"no probe was fitted for {attribute!r}; there are {found}."
            " Label more faces with fs.label_by_hand, then fit again with fs.attributes.fit_probes."
        )
        raise ValueError(msg)
    ax = new_axes(ax, height=3.2)
    n, accuracy = rows["n_labels"], rows["accuracy"]
    draw_intervals(ax, accuracy, rows["low"], rows["high"], at=n, vertical=True, fmt="o-", label="probe")
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
    ax.legend(frameon=False, fontsize=TEXT, loc="upper left", bbox_to_anchor=(1, 1))  # covers no interval
    return finish(
        ax,
        title=f"{attribute}, up to {n[-1]:,} labels",
        xlabel="number of labels",
        ylabel="accuracy, 95% interval",
    )


def gain_bars(report: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the gain in accuracy of each probe over the prompts; the marks of promoted probes are filled.

    Parameters
    ----------
    report
        ``probes.report`` of :func:`facestats.attributes.fit_probes`; attributes without a comparison are left out,
        and the title counts them.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a point with its 95 % interval per attribute, the largest gain on top; without any, a line of text.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> report = pl.DataFrame(
    ...     {"attribute": ["age"], "n_tested": [90], "gain": [0.1], "gain_low": [0.04], "gain_high": [0.16]}
    ... ).with_columns(promoted=pl.lit(True))
    >>> ax = fs.plots.gain_bars(report)
    >>> ax.get_title(loc="left")
    'probes against prompts: 1 of 1 promoted'
    """
    check_columns(report, "attribute", "gain", "gain_low", "gain_high", "promoted", made_by=MADE_BY)
    rows = report.drop_nulls("gain").sort("gain")
    without = f", {n} without a comparison" if (n := report.height - rows.height) else ""
    title = f"probes against prompts: {rows['promoted'].sum()} of {rows.height} promoted{without}"
    if rows.is_empty():
        return draw_nothing(
            ax, "no probe can be compared with prompts: there are too few human labels", title=title
        )
    ax = new_axes(ax, height=1.1 + 0.3 * max(rows.height, 1))
    promoted = rows["promoted"].to_list()
    colors = [BLUE if yes else GREY for yes in promoted]
    draw_intervals(ax, rows["gain"], rows["gain_low"], rows["gain_high"], colors=colors, filled=promoted)
    names = [f"{a} (n = {n:,})" for a, n in rows.select("attribute", "n_tested").iter_rows()]
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(range(rows.height), names)
    ax.set_ylim(-0.5, rows.height - 0.5)
    ax.margins(x=0.08)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return finish(ax, title=title, xlabel="gain in accuracy on held-out faces, 95% interval")
