"""How well raters agree, and how well their mean is predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facestats.core.tables import TRUE_PREFIX, check_columns
from facestats.plots.intervals import draw_intervals, name_rows
from facestats.plots.style import BLUE, GREY, finish, new_axes

if TYPE_CHECKING:
    import polars as pl
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
    """Draw measures of agreement of one trait.

    Parameters
    ----------
    reliability
        Rows of one trait of :func:`facestats.ratings.reliability`.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a point with its 95 % interval per measure.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> reliability = fs.ratings.reliability(project.ratings, n_splits=20, n_resamples=20)
    >>> ax = fs.plots.reliability_bars(reliability)
    >>> ax.get_title(loc="left")
    'attractiveness, 12 faces, 4 raters'
    """
    check_columns(reliability, "trait", "measure", "value", "low", "high", made_by="fs.ratings.reliability")
    if reliability["trait"].n_unique() != 1:
        found = reliability["trait"].unique().sort().to_list()
        msg = f"one trait can be shown at a time, got {found}; choose one: df.filter(trait=...)"
        raise ValueError(msg)
    ax = new_axes(ax, height=0.9 + 0.3 * reliability.height)
    draw_intervals(ax, reliability["value"], reliability["low"], reliability["high"])
    name_rows(ax, [_NAMES.get(m, m) for m in reliability["measure"]], n=reliability.height)
    ax.set_xlim(0, 1)
    first = reliability.row(0, named=True)
    title = f"{first['trait']}, {first['n_faces']:,} faces, {first['n_raters']:,} raters"
    return finish(ax, title=title, xlabel="reliability or correlation, 95% interval")


def rater_bars(effects: pl.DataFrame, column: str = "severity", *, ax: Axes | None = None) -> Axes:
    """Draw the severity or the agreement of every rater, sorted.

    Parameters
    ----------
    effects
        Rows of one trait of :func:`facestats.ratings.rater_effects`.
    column
        ``severity`` or ``agreement``.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a point with its 95 % interval per rater; up to 40 raters are named.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> effects = fs.ratings.rater_effects(project.ratings)
    >>> ax = fs.plots.rater_bars(effects, "severity")
    >>> ax.get_title(loc="left")
    'attractiveness: severity, 4 raters'
    """
    check_columns(effects, "rater_id", column, f"{column}_low", made_by="fs.ratings.rater_effects")
    table = effects.drop_nulls(column).sort(column)
    few = table.height <= 40
    ax = new_axes(ax, height=0.9 + (0.22 * table.height if few else 4.0))
    draw_intervals(ax, table[column], table[f"{column}_low"], table[f"{column}_high"])
    name_rows(ax, table["rater_id"].to_list() if few else None, n=table.height)
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    unit = "scale points above the average rater" if column == "severity" else "correlation with the rest"
    traits = effects["trait"].unique().to_list() if "trait" in effects.columns else []
    title = f"{column}, {table.height:,} raters"
    title = f"{traits[0]}: {title}" if len(traits) == 1 else title
    return finish(ax, title=title, xlabel=f"{unit}, 95% interval")


def rating_scatter(
    held_out: pl.DataFrame,
    *,
    skill: pl.DataFrame | None = None,
    trait: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean rating of each face against its held-out prediction.

    Parameters
    ----------
    held_out
        ``fit.held_out`` of :func:`facestats.fit_ratings`.
    skill
        ``fit.skill``; the title then has the correlation, beside that of one rater and the ceiling.
    trait
        Name of the trait, for the title.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a point per face, and the diagonal on which rating and prediction are equal.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> held_out = pl.DataFrame({"rating": [2.0, 4.0, 5.0], "predicted": [2.5, 3.5, 5.0]})
    >>> ax = fs.plots.rating_scatter(held_out)
    >>> ax.get_title(loc="left")
    'n = 3'
    """
    check_columns(held_out, "rating", "predicted", made_by="fs.fit_ratings")
    ax = new_axes(ax, height=4.6, width=5.4)
    x, y = held_out["predicted"].to_numpy(), held_out["rating"].to_numpy()
    ends = [min(x.min(), y.min()), max(x.max(), y.max())] if len(x) else [0, 1]
    ax.plot(ends, ends, color=GREY, linewidth=1)
    ax.plot(x, y, "o", color=BLUE, markersize=4, alpha=0.6, markeredgewidth=0)
    title = f"{trait}, n = {len(x):,}" if trait else f"n = {len(x):,}"
    if skill is not None:
        found = {row["measure"]: row for row in skill.iter_rows(named=True)}
        r = found["r"]
        title += (
            f", held-out r = {r['value']:.2f} [{r['low']:.2f}, {r['high']:.2f}]\n"
            f"one rater {found['single_rater']['value']:.2f}, ceiling {found['ceiling']['value']:.2f}"
        )
    return finish(
        ax, title=title, xlabel="predicted by a model that has not seen the face", ylabel="mean rating"
    )


def residual_bars(
    residuals: pl.DataFrame, *, trait: str | None = None, by: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the mean residual of each group; above zero, the model rates the group too low.

    Parameters
    ----------
    residuals
        Table of :func:`facestats.ratings.residuals`.
    trait, by
        Name of the trait, and the column of groups, for the title: ``true_<attribute>`` is known truth, any other column
        is perceived.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a point with its 95 % interval per group, and a line at zero.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> residuals = pl.DataFrame(
    ...     {"group": ["child", "elderly"], "n": [8, 4], "residual": [0.1, -0.2], "low": [-0.1, -0.5], "high": [0.3, 0.1]}
    ... )
    >>> ax = fs.plots.residual_bars(residuals, trait="calm", by="true_age")
    >>> ax.get_title(loc="left")
    'calm by true age, n = 12'
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['child (n = 8)', 'elderly (n = 4)']
    """
    check_columns(residuals, "group", "n", "residual", "low", "high", made_by="fs.ratings.residuals")
    ax = new_axes(ax, height=0.9 + 0.3 * max(residuals.height, 1))
    names = [f"{g} (n = {n:,})" for g, n in residuals.select("group", "n").iter_rows()]
    draw_intervals(ax, residuals["residual"], residuals["low"], residuals["high"])
    name_rows(ax, names, n=residuals.height)
    ax.axvline(0, color=GREY, linewidth=1, zorder=0)
    title = f"n = {residuals['n'].sum():,}"
    if by is not None:
        known, name = by.startswith(TRUE_PREFIX), by.removeprefix(TRUE_PREFIX)
        title = f"by {'true' if known else 'perceived'} {name}, {title}"
    return finish(
        ax,
        title=" ".join(filter(None, [trait, title])) if by else ", ".join(filter(None, [trait, title])),
        xlabel="rating minus prediction, scale points, 95% interval",
    )
