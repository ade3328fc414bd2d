"""What is over-represented in groups of rows, and whether a grouping follows a known column.

Works on any table with a column of groups; the stage `clusters` offers it for clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.tables import check_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ALPHA = 0.05
QUARTERS = 4  # numbers are compared by their quarter
PROFILE = {
    **dict.fromkeys(("attribute", "label"), pl.String),
    **dict.fromkeys(("n", "n_cluster"), pl.Int64),
    **dict.fromkeys(("share", "share_elsewhere", "ratio", "ratio_low", "ratio_high", "p"), pl.Float64),
}
RELATIONS = {
    "column": pl.String,
    **dict.fromkeys(("n", "n_values"), pl.Int64),
    **dict.fromkeys(("ami", "chance_mean", "chance_high", "p"), pl.Float64),
}


def profile(table: pl.DataFrame, attributes: Sequence[str], *, by: str = "cluster") -> pl.DataFrame:
    """Compare the share of every label inside each cluster with its share in all others.

    Parameters
    ----------
    table
        Rows with the column `by` and the attributes: clusters joined to master.
    attributes
        Columns of labels; rows without a label do not count for that attribute.
    by
        Column of groups; rows without a group, and noise (-1), are left out.

    Returns
    -------
    One row per cluster, attribute and label that occurs, none where there are no clusters: `n` and `n_cluster` (faces with the label, and with
    any), `share`, `share_elsewhere`, their `ratio` with a 95 % interval `ratio_low` and `ratio_high` (Katz et
    al. 1978, half a face added to each count), `p` (Fisher's exact test, two-sided) and `p_adjusted` (false
    discovery rate over the whole table, Benjamini & Hochberg 1995).
    """
    from scipy.stats import false_discovery_control

    check_columns(table, by, made_by="fs.cluster_faces (notebooks/07_clusters.ipynb)")
    check_columns(table, *attributes, made_by="the stages before; join clusters to master by image_id")
    rows = []
    for attribute in attributes:
        known = _grouped(table, by).select(by, label=pl.col(attribute).cast(pl.String)).drop_nulls()
        sizes = dict(known[by].value_counts().iter_rows())
        totals = dict(known["label"].value_counts().iter_rows())
        counts = {(g, label): n for g, label, n in known.group_by(by, "label").len().iter_rows()}
        for group in sorted(sizes):
            for label, total in sorted(totals.items()):
                n = counts.get((group, label), 0)
                inside, outside = sizes[group], known.height - sizes[group]
                rows.append(
                    (group, attribute, label, n, inside, *_compare((n, inside), (total - n, outside)))
                )
    frame = pl.DataFrame(rows, schema={by: table.schema[by], **PROFILE}, orient="row")
    return frame.with_columns(p_adjusted=pl.Series(false_discovery_control(frame["p"]), dtype=pl.Float64))


def names(profile: pl.DataFrame, *, n_labels: int = 3, by: str = "cluster") -> pl.DataFrame:
    """Name clusters by the labels that are over-represented in them beyond chance.

    At most one label per attribute, those first whose share exceeds the share elsewhere the most; a
    cluster without any is "mixed". Labels of a part say of which: `blue` of `eye_color` is "blue eye".

    Parameters
    ----------
    profile
        From :func:`facestats.clusters.profile`.
    n_labels
        Labels in a name.
    by
        Column of groups.

    Returns
    -------
    One row per cluster: the cluster and `cluster_name` (String).
    """
    attribute = pl.col("attribute").str.split("_")
    label = pl.when(attribute.list.len() > 1).then(pl.format("{} {}", "label", attribute.list.first()))
    excess = pl.col("share") - pl.col("share_elsewhere")
    telling = (
        profile.filter(pl.col("p_adjusted") <= ALPHA, pl.col("ratio_low") > 1)
        .sort(excess, descending=True, maintain_order=True)
        .unique([by, "attribute"], keep="first", maintain_order=True)
        .group_by(by, maintain_order=True)
        .agg(label.otherwise("label").head(n_labels).str.join(", ").alias("cluster_name"))
    )
    groups = profile.select(pl.col(by).unique().sort())
    named = groups.join(telling, on=by, how="left", validate="1:1", maintain_order="left")
    return named.with_columns(pl.col("cluster_name").fill_null("mixed"))


def relations(
    table: pl.DataFrame,
    columns: Sequence[str],
    *,
    by: str = "cluster",
    n_permutations: int = 200,
    seed: int = 0,
) -> pl.DataFrame:
    """Ask whether the clusters follow anything known: adjusted mutual information with each column.

    0 is what chance gives, 1 is the same partition (Vinh, Epps & Bailey 2010); numbers with more than 12
    values are compared by quarter. The baseline exchanges the clusters among the faces.

    Parameters
    ----------
    table
        Rows with the column `by` and `columns`: clusters joined to master.
    columns
        What is known; rows where it is missing do not count for it.
    by
        Column of groups; rows without a group are left out, noise (-1) is a group of its own.
    n_permutations
        Exchanges for the baseline.
    seed
        Decides the exchanges.

    Returns
    -------
    One row per column, the most related first: `column`, `n`, `n_values`, `ami`, `chance_mean`, `chance_high`
    (95th percentile of the baseline) and `p` (share of the baseline that reaches `ami`). Where all faces share one
    value or one cluster, or none has any, nothing can be followed: `ami` and what comes after it are null, last.
    """
    check_columns(table, by, *columns, made_by="fs.cluster_faces and the stages before")
    rng = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    for column in columns:
        known = table.select(by, column).drop_nulls()
        groups, values = known[by].to_numpy(), _codes(known[column])
        n_values = len(np.unique(values))
        if min(n_values, len(np.unique(groups))) < 2:
            rows.append((column, known.height, n_values, None, None, None, None))
            continue
        ami = _ami(groups, values)
        chance = np.array([_ami(rng.permutation(groups), values) for _ in range(n_permutations)])
        p = (1 + (chance >= ami).sum()) / (1 + n_permutations)
        rows.append((column, known.height, n_values, ami, chance.mean(), np.quantile(chance, 0.95), p))
    frame = pl.DataFrame(rows, schema=RELATIONS, orient="row")
    return frame.sort("ami", descending=True, nulls_last=True, maintain_order=True)


def _grouped(table: pl.DataFrame, by: str) -> pl.DataFrame:
    rows = table.drop_nulls(by)
    return rows.filter(pl.col(by) >= 0) if rows[by].dtype.is_integer() else rows


def _compare(here: tuple[int, int], elsewhere: tuple[int, int]) -> tuple[float, ...]:
    """Shares, their ratio with its interval, and p, of two counts and their totals."""
    from scipy.stats import fisher_exact

    (n, inside), (n_elsewhere, outside) = here, elsewhere
    a, b = (n + 0.5) / (inside + 0.5), (n_elsewhere + 0.5) / (outside + 0.5)
    error = np.sqrt(1 / (n + 0.5) - 1 / (inside + 0.5) + 1 / (n_elsewhere + 0.5) - 1 / (outside + 0.5))
    low, high = np.exp(np.log(a / b) + np.array([-1.959964, 1.959964]) * error)
    p = fisher_exact([[n, inside - n], [n_elsewhere, outside - n_elsewhere]]).pvalue
    return n / inside, n_elsewhere / max(outside, 1), a / b, float(low), float(high), float(p)


def _codes(values: pl.Series) -> NDArray[np.int64]:
    """Values as numbers from 0; many-valued numbers by quarter."""
    if values.dtype.is_numeric() and values.n_unique() > 3 * QUARTERS:
        numbers = values.cast(pl.Float64).to_numpy()
        return np.searchsorted(np.quantile(numbers, [0.25, 0.5, 0.75]), numbers, side="right")
    return np.unique(values.cast(pl.String).to_numpy().astype(str), return_inverse=True)[1]


def _ami(a: NDArray[np.integer], b: NDArray[np.integer]) -> float:
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(a, b))
