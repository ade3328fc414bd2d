"""Clusters: how stable they are, which labels are over-represented in them, and with what they agree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.tables import check_columns
from facestats.plots.intervals import draw_intervals
from facestats.plots.style import BLUE, GREY, ORANGE, TEXT, draw_nothing, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_RATIO = 16  # ends of intervals beyond it are cut and marked


def stability_curve(stability: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how stable each number of clusters is on resampled faces, and mark the suggested number.

    Parameters
    ----------
    stability
        Table of :func:`facestats.clusters.stability`.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: the mean adjusted Rand index (Hubert and Arabie 1985) by the number of clusters, with a band from the 5th
    to the 95th percentile.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> stability = fs.clusters.stability(project.embeddings, n_clusters=[2, 3], n_resamples=4)
    >>> ax = fs.plots.stability_curve(stability)
    >>> ax.get_ylabel()
    'adjusted Rand index, 5% to 95%'
    """
    check_columns(
        stability, "n_clusters", "ari", "ari_low", "ari_high", "chosen", made_by="fs.clusters.stability"
    )
    if stability.is_empty():
        return draw_nothing(ax, "too few faces to compare numbers of clusters")
    ax = new_axes(ax, height=3.2)
    k = stability["n_clusters"]
    ax.fill_between(k, stability["ari_low"], stability["ari_high"], color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(k, stability["ari"], color=BLUE, marker="o")
    chosen = stability.filter("chosen")
    ax.scatter(chosen["n_clusters"], chosen["ari"], color=ORANGE, s=90, zorder=3)
    ax.set_xticks(k)
    ax.set_ylim(min(0.0, *stability["ari_low"].to_list()), 1)
    title = f"suggested: {chosen['n_clusters'][0]} clusters"
    return finish(ax, title=title, xlabel="number of clusters", ylabel="adjusted Rand index, 5% to 95%")


def profile_bars(
    profile: pl.DataFrame, cluster: Any, *, by: str = "cluster", n_labels: int = 12, ax: Axes | None = None
) -> Axes:
    """Draw the labels that are more or less frequent in one cluster than elsewhere.

    The labels with the smallest p are shown. Filled marks differ from 1 after correction for the number of tests.

    Parameters
    ----------
    profile
        Table of :func:`facestats.clusters.profile`.
    cluster
        A value of the column `by`.
    by
        Column of groups.
    n_labels
        Highest number of labels.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a point per label, the ratio of both shares on a logarithmic scale, with its 95 % interval. A triangle
    marks an interval or a ratio (such as 0) that goes on beyond the end of the axis.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> table = project.clusters.join(project.text_labels, on="image_id")
    >>> profile = fs.clusters.profile(table, ["text_age", "text_hair_color"])
    >>> ax = fs.plots.profile_bars(profile, 0)
    >>> ax.get_xlabel()
    'share inside / share elsewhere, 95% interval'
    """
    check_columns(profile, by, "label", "ratio", "p_adjusted", made_by="fs.clusters.profile")
    if profile.is_empty():
        return draw_nothing(ax, "no clusters, or no labels that could describe them")
    rows = profile.filter(pl.col(by) == cluster)
    if rows.is_empty():
        msg = f"no cluster {cluster!r}; choose one of {profile[by].unique().sort().to_list()}"
        raise ValueError(msg)
    rows = rows.sort("p", maintain_order=True).head(n_labels).sort("ratio", maintain_order=True)
    ax = new_axes(ax, height=1.0 + 0.27 * rows.height)
    significant = [p <= 0.05 for p in rows["p_adjusted"]]
    colors = [
        (BLUE if ratio > 1 else ORANGE) if sure else GREY
        for ratio, sure in zip(rows["ratio"], significant, strict=True)
    ]
    ends = _draw_ratios(ax, rows, colors, significant)
    names = [f"{a}: {label} ({n:,})" for a, label, n in rows.select("attribute", "label", "n").iter_rows()]
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlim(ends[0] / 1.12, ends[1] * 1.12)  # no mark is cut
    ax.set_yticks(range(rows.height), names)
    ax.set_ylim(-0.5, rows.height - 0.5)
    title = f"{by} {cluster}, n = {max(rows['n_cluster'].to_list()):,}"
    return finish(ax, title=title, xlabel="share inside / share elsewhere, 95% interval")


def relation_bars(relations: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how closely the clusters agree with each column, beside what chance gives.

    Parameters
    ----------
    relations
        Table of :func:`facestats.clusters.relations`; columns without two values have no bar.
    ax
        Axes to draw on; by default a new figure.

    Returns
    -------
    The Axes: a bar per column, the adjusted mutual information (Vinh et al. 2010), and a mark at the 95th percentile of
    chance.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> table = project.clusters.join(project.text_labels, on="image_id")
    >>> relations = fs.clusters.relations(table, ["text_age", "text_hair_color"], n_permutations=20)
    >>> ax = fs.plots.relation_bars(relations)
    >>> ax.get_xlabel()
    'adjusted mutual information'
    """
    check_columns(relations, "column", "ami", "chance_high", made_by="fs.clusters.relations")
    if relations.is_empty():
        return draw_nothing(ax, "no columns to compare the clusters with")
    ax = new_axes(ax, height=1.0 + 0.32 * relations.height)
    known, unknown = relations.drop_nulls("ami"), relations.filter(pl.col("ami").is_null())
    places = np.arange(known.height)
    above = known["ami"] > known["chance_high"]
    ax.barh(places, known["ami"], height=0.65, color=[BLUE if a else GREY for a in above])
    ax.scatter(known["chance_high"], places, marker="|", s=160, color=ORANGE, label="95% of chance", zorder=3)
    for place in range(known.height, relations.height):
        ax.text(0, place, " all faces have one value, or none", va="center", fontsize=TEXT)
    named = pl.concat([known, unknown]).select("column", "n")
    ax.set_yticks(range(relations.height), [f"{c} (n = {n:,})" for c, n in named.iter_rows()])
    ax.set_ylim(relations.height - 0.5, -0.5)
    ax.legend(frameon=False, fontsize=TEXT, loc="lower right")
    return finish(
        ax, title="agreement of the clusters with each column", xlabel="adjusted mutual information"
    )


def _draw_ratios(ax: Axes, rows: pl.DataFrame, colors: list[str], filled: list[bool]) -> tuple[float, float]:
    """Draw ratios with their intervals, and return the ends of the axis: it holds every ratio above zero."""
    ratio, low, high = (rows[c].cast(pl.Float64).to_numpy() for c in ("ratio", "ratio_low", "ratio_high"))
    known = ratio[np.isfinite(ratio) & (ratio > 0)]
    bounds = np.concatenate([known, low, high, [1.0]])
    bounds = bounds[np.isfinite(bounds) & (bounds > 0)]
    first = min(
        max(bounds.min(), 1 / MOST_RATIO), *known / 1.4, 1 / 2
    )  # a mark of a cut lies beside each point
    last = max(min(bounds.max(), MOST_RATIO), *known * 1.4, 2.0)
    inside = [np.clip(values, first, last) for values in (ratio, low, high)]
    draw_intervals(ax, *inside, colors=colors, filled=filled)
    places = np.arange(rows.height)
    for end, marker, cut in (
        (first, "<", (low < first) | (ratio < first)),
        (last, ">", (high > last) | (ratio > last)),
    ):
        ax.scatter(
            np.full(cut.sum(), end), places[cut], marker=marker, s=28, color=np.array(colors)[cut], zorder=3
        )
    return float(first), float(last)
