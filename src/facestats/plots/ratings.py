"""How far raters agree, and how well their mean is predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.tables import check_columns
from facestats.plots.style import BLUE, GREY, TEXT, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NAMES = {
    "icc_2_1": "ICC(2,1), one rater",
    "icc_2_k": "ICC(2,k), mean of raters",
    "single_rater": "one rater with the mean of the rest",
    "split_half": "random halves",
    "spearman_brown": "random halves, all raters",
    "ceiling": "ceiling of any prediction",
    "r": "prediction, held out",
}


def reliability_bars(reliability: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Measures of agreement of one trait with their 95 % intervals.

    Parameters
    ----------
    reliability
        Rows of one trait of :func:`facestats.ratings.reliability`.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(reliability, "trait", "measure", "value", "low", "high", made_by="fs.ratings.reliability")
    if reliability["trait"].n_unique() != 1:
        found = reliability["trait"].unique().sort().to_list()
        msg = f"one trait can be shown at a time, got {found}; pick one: df.filter(trait=...)"
        raise ValueError(msg)
    ax = new_axes(ax, height=0.9 + 0.3 * reliability.height)
    _dots(ax, reliability, [_NAMES.get(m, m) for m in reliability["measure"]])
    ax.set_xlim(0, 1)
    first = reliability.row(0, named=True)
    title = f"{first['trait']}, {first['n_faces']:,} faces, {first['n_raters']:,} raters"
    return finish(ax, title=title, xlabel="reliability or correlation, 95% interval")


def rater_bars(effects: pl.DataFrame, column: str = "severity", *, ax: Axes | None = None) -> Axes:
    """Severity or agreement of every rater with its interval, in order.

    Parameters
    ----------
    effects
        Rows of one trait of :func:`facestats.ratings.rater_effects`.
    column
        ``severity`` or ``agreement``.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(effects, "rater_id", column, f"{column}_low", made_by="fs.ratings.rater_effects")
    table = effects.drop_nulls(column).sort(column)
    shown = table.rename({column: "value", f"{column}_low": "low", f"{column}_high": "high"})
    few = table.height <= 40
    ax = new_axes(ax, height=0.9 + (0.22 * table.height if few else 4.0))
    _dots(ax, shown, table["rater_id"].to_list() if few else None)
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    unit = "scale points above the average rater" if column == "severity" else "correlation with the rest"
    return finish(ax, title=f"{column}, {table.height:,} raters", xlabel=f"{unit}, 95% interval")


def rating_scatter(
    held_out: pl.DataFrame, *, skill: pl.DataFrame | None = None, ax: Axes | None = None
) -> Axes:
    """Mean rating of each face against its held-out prediction.

    Parameters
    ----------
    held_out
        ``fit.held_out`` of :func:`facestats.fit_ratings`.
    skill
        ``fit.skill``: says in the title where the prediction lies between one rater and the ceiling.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(held_out, "rating", "predicted", made_by="fs.fit_ratings")
    ax = new_axes(ax, height=4.6, width=5.4)
    x, y = held_out["predicted"].to_numpy(), held_out["rating"].to_numpy()
    ends = [min(x.min(), y.min()), max(x.max(), y.max())] if len(x) else [0, 1]
    ax.plot(ends, ends, color=GREY, linewidth=1)
    ax.plot(x, y, "o", color=BLUE, markersize=4, alpha=0.6, markeredgewidth=0)
    title = f"n = {len(x):,}"
    if skill is not None:
        found = {row["measure"]: row for row in skill.iter_rows(named=True)}
        r = found["r"]
        title += (
            f", r = {r['value']:.2f} [{r['low']:.2f}, {r['high']:.2f}]\n"
            f"one rater {found['single_rater']['value']:.2f}, ceiling {found['ceiling']['value']:.2f}"
        )
    return finish(
        ax, title=title, xlabel="predicted by a model that has not seen the face", ylabel="mean rating"
    )


def residual_bars(residuals: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Mean residual of each group with its interval: right of zero, the model rates the group too low.

    Parameters
    ----------
    residuals
        Table of :func:`facestats.ratings.residuals`.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(residuals, "group", "n", "residual", "low", "high", made_by="fs.ratings.residuals")
    ax = new_axes(ax, height=0.9 + 0.3 * max(residuals.height, 1))
    names = [f"{g} (n = {n:,})" for g, n in residuals.select("group", "n").iter_rows()]
    _dots(ax, residuals.rename({"residual": "value"}), names)
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    return finish(
        ax,
        title=f"n = {residuals['n'].sum():,}",
        xlabel="rating minus prediction, scale points, 95% interval",
    )


def _dots(ax: Axes, table: pl.DataFrame, names: list[str] | None) -> None:
    """Draw `value` with `low` and `high`, a row each, the first on top."""
    value, low, high = (
        table[c].cast(pl.Float64).fill_null(np.nan).to_numpy() for c in ("value", "low", "high")
    )
    rows = np.arange(len(value))
    error = np.nan_to_num(np.clip(np.stack([value - low, high - value]), 0, None))
    ax.errorbar(value, rows, xerr=error, fmt="o", color=BLUE, markersize=5, capsize=2)
    ax.set_yticks(rows if names is not None else [], names if names is not None else [], fontsize=TEXT)
    ax.set_ylim(len(value) - 0.5, -0.5)
