"""Clusters: how stable they are, what is over-represented in them, and what they follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.tables import check_columns
from facestats.plots.style import BLUE, GREY, ORANGE, TEXT, draw_nothing, finish, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def stability_curve(stability: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How well each number of clusters comes back on resampled faces; the suggested number is marked.

    Parameters
    ----------
    stability
        From :func:`facestats.clusters.stability`.
    ax
        Axes to draw on; by default a new figure.
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
    return finish(ax, title=title, xlabel="number of clusters", ylabel="adjusted Rand index, 5 to 95 %")


def profile_bars(
    profile: pl.DataFrame, cluster: Any, *, by: str = "cluster", n_labels: int = 12, ax: Axes | None = None
) -> Axes:
    """Labels that occur more or less often in one cluster than elsewhere, with 95 % intervals.

    Filled marks differ from 1 after correction for the number of tests; the strongest ratios are shown.

    Parameters
    ----------
    profile
        From :func:`facestats.clusters.profile`.
    cluster
        Which cluster.
    by
        Column of groups.
    n_labels
        Labels to show.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(profile, by, "label", "ratio", "p_adjusted", made_by="fs.clusters.profile")
    if profile.is_empty():
        return draw_nothing(ax, "no clusters, or no labels that could describe them")
    rows = profile.filter(pl.col(by) == cluster)
    if rows.is_empty():
        msg = f"no cluster {cluster!r}; there are {profile[by].unique().sort().to_list()}"
        raise ValueError(msg)
    rows = rows.sort("p", maintain_order=True).head(n_labels).sort("ratio", maintain_order=True)
    ax = new_axes(ax, height=1.0 + 0.27 * rows.height)
    for y, row in enumerate(rows.iter_rows(named=True)):
        sure = row["p_adjusted"] <= 0.05
        color = GREY if not sure else (BLUE if row["ratio"] > 1 else ORANGE)
        ax.plot([row["ratio_low"], row["ratio_high"]], [y, y], color=color, linewidth=1.6)
        ax.plot(row["ratio"], y, marker="o", color=color, markerfacecolor=color if sure else "white")
    names = [f"{a}: {label} ({n:,})" for a, label, n in rows.select("attribute", "label", "n").iter_rows()]
    ax.axvline(1, color="black", linewidth=0.8)
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlim(max(ax.get_xlim()[0], 1 / 16), min(ax.get_xlim()[1], 16))
    ax.set_yticks(range(rows.height), names)
    title = f"{by} {cluster}, n = {max(rows['n_cluster'].to_list()):,}"
    return finish(ax, title=title, xlabel="share inside / share elsewhere, 95 % interval")


def relation_bars(relations: pl.DataFrame, *, ax: Axes | None = None) -> Axes:
    """How closely the clusters follow each known column, beside what chance gives.

    Parameters
    ----------
    relations
        From :func:`facestats.clusters.relations`; columns without two values have no bar.
    ax
        Axes to draw on; by default a new figure.
    """
    check_columns(relations, "column", "ami", "chance_high", made_by="fs.clusters.relations")
    ax = new_axes(ax, height=1.0 + 0.32 * relations.height)
    known, unknown = relations.drop_nulls("ami"), relations.filter(pl.col("ami").is_null())
    places = np.arange(known.height)
    above = known["ami"] > known["chance_high"]
    ax.barh(places, known["ami"], height=0.65, color=[BLUE if a else GREY for a in above])
    ax.scatter(
        known["chance_high"], places, marker="|", s=160, color=ORANGE, label="95 % of chance", zorder=3
    )
    for place in range(known.height, relations.height):
        ax.text(0, place, " all faces have one value, or none", va="center", fontsize=TEXT)
    named = pl.concat([known, unknown]).select("column", "n")
    ax.set_yticks(range(relations.height), [f"{c} (n = {n:,})" for c, n in named.iter_rows()])
    ax.set_ylim(relations.height - 0.5, -0.5)
    ax.legend(frameon=False, fontsize=TEXT, loc="lower right")
    return finish(ax, title="what the clusters follow", xlabel="adjusted mutual information")
