"""Labels that are over-represented in groups of rows, and associations of a grouping with known columns.

The functions work on any table with a column of groups, such as clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.tables import check_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ALPHA = 0.05  # adjusted p up to which a label names a cluster
MAX_VALUES = 12  # numeric columns with more values are divided at their quartiles
Z_95 = 1.959964  # normal quantile of a 95 % interval
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
    """Compare the share of every label in each cluster with its share in all other clusters.

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
    One row per cluster, attribute and label that occurs: the cluster, `attribute`, `label` (String), `n` (Int64, faces
    with the label), `n_cluster` (Int64, faces with any label), `share`, `share_elsewhere` (Float64), their `ratio` with
    the 95 % interval `ratio_low` and `ratio_high` (Float64; Katz et al. 1978, with half a face added to each count),
    `p` (Float64, Fisher's exact test, two-sided) and `p_adjusted` (Float64, false discovery rate over the whole table,
    Benjamini & Hochberg 1995). No rows if there are no clusters.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> rows = pl.DataFrame({"cluster": [0] * 4 + [1] * 4, "hair": ["red"] * 3 + ["black"] * 5})
    >>> profile = fs.clusters.profile(rows, ["hair"])
    >>> profile.filter(label="red").select("cluster", "n", "share", "share_elsewhere").rows()
    [(0, 3, 0.75, 0.0), (1, 0, 0.0, 0.75)]
    """
    from scipy.stats import false_discovery_control

    check_columns(table, by, made_by="fs.cluster_faces (notebooks/07_clusters.ipynb)")
    check_columns(table, *attributes, made_by="the stages before; join clusters to master by image_id")
    rows = []
    for attribute in attributes:
        known = _rows_in_groups(table, by).select(by, label=pl.col(attribute).cast(pl.String)).drop_nulls()
        sizes = dict(known[by].value_counts().iter_rows())
        totals = dict(known["label"].value_counts().iter_rows())
        counts = {(g, label): n for g, label, n in known.group_by(by, "label").len().iter_rows()}
        for group in sorted(sizes):
            for label, total in sorted(totals.items()):
                n = counts.get((group, label), 0)
                inside, outside = sizes[group], known.height - sizes[group]
                rows.append(
                    (group, attribute, label, n, inside, *_compare_shares((n, inside), (total - n, outside)))
                )
    frame = pl.DataFrame(rows, schema={by: table.schema[by], **PROFILE}, orient="row")
    return frame.with_columns(p_adjusted=pl.Series(false_discovery_control(frame["p"]), dtype=pl.Float64))


def names(profile: pl.DataFrame, *, n_labels: int = 3, by: str = "cluster") -> pl.DataFrame:
    """Name each cluster after the labels that are significantly over-represented in it.

    A label is used if its adjusted p is 0.05 or less and the interval of its ratio lies above 1. Labels are ordered by
    the difference between the two shares, and each attribute gives at most one. The label `blue` of the attribute
    `eye_color` becomes "blue eye". A cluster without such a label is called "mixed".

    Parameters
    ----------
    profile
        From :func:`facestats.clusters.profile`.
    n_labels
        Highest number of labels in a name.
    by
        Column of groups.

    Returns
    -------
    One row per cluster: the cluster and `cluster_name` (String).

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> rows = pl.DataFrame({"cluster": [0] * 40 + [1] * 40, "eye_color": ["blue"] * 40 + ["brown"] * 40})
    >>> fs.clusters.names(fs.clusters.profile(rows, ["eye_color"])).rows()
    [(0, 'blue eye'), (1, 'brown eye')]
    """
    attribute = pl.col("attribute").str.split("_")
    label = pl.when(attribute.list.len() > 1).then(pl.format("{} {}", "label", attribute.list.first()))
    excess = pl.col("share") - pl.col("share_elsewhere")
    names_found = (
        profile.filter(pl.col("p_adjusted") <= ALPHA, pl.col("ratio_low") > 1)
        .sort(excess, descending=True, maintain_order=True)
        .unique([by, "attribute"], keep="first", maintain_order=True)
        .group_by(by, maintain_order=True)
        .agg(label.otherwise("label").head(n_labels).str.join(", ").alias("cluster_name"))
    )
    groups = profile.select(pl.col(by).unique().sort())
    named = groups.join(names_found, on=by, how="left", validate="1:1", maintain_order="left")
    return named.with_columns(pl.col("cluster_name").fill_null("mixed"))


def relations(
    table: pl.DataFrame,
    columns: Sequence[str],
    *,
    by: str = "cluster",
    n_permutations: int = 200,
    seed: int = 0,
) -> pl.DataFrame:
    """Measure the association of the clusters with known columns by adjusted mutual information (AMI).

    0 is expected by chance, 1 is the same partition (Vinh, Epps & Bailey 2010). Numeric columns with more than 12
    values are divided at their quartiles. For the chance baseline the clusters are permuted among the faces.

    Parameters
    ----------
    table
        Rows with the column `by` and `columns`: clusters joined to master.
    columns
        Known columns; rows without a value do not count for that column.
    by
        Column of groups; rows without a group are left out, noise (-1) is a group of its own.
    n_permutations
        Number of permutations for the baseline.
    seed
        Fixes the permutations.

    Returns
    -------
    One row per column, sorted by `ami`, largest first: `column` (String), `n` (Int64, rows with a value), `n_values`
    (Int64), `ami`, `chance_mean`, `chance_high` (Float64, mean and 95th percentile of the baseline) and `p` (Float64,
    share of the permutations that reach `ami`, with the table itself counted as one). Columns in which fewer than two
    values or two clusters occur come last, with null from `ami` on.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> rows = pl.DataFrame({"cluster": [0, 0, 1, 1] * 5, "hair": ["red", "red", "black", "black"] * 5})
    >>> fs.clusters.relations(rows, ["hair"], n_permutations=9).select("n", "ami", "p").rows()
    [(20, 1.0, 0.1)]
    """
    check_columns(table, by, *columns, made_by="fs.cluster_faces and the stages before")
    rng = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = []
    for column in columns:
        known = table.select(by, column).drop_nulls()
        values = _category_codes(known[column])
        n_values = len(np.unique(values))
        groups = np.unique(known[by].to_numpy(), return_inverse=True)[1]
        if min(n_values, len(np.unique(groups))) < 2:
            rows.append((column, known.height, n_values, None, None, None, None))
            continue
        ami, *chance = _measure_ami(
            [groups, *(rng.permutation(groups) for _ in range(n_permutations))], values
        )
        p = (1 + (np.array(chance) >= ami).sum()) / (1 + n_permutations)
        rows.append((column, known.height, n_values, ami, np.mean(chance), np.quantile(chance, 0.95), p))
    frame = pl.DataFrame(rows, schema=RELATIONS, orient="row")
    return frame.sort("ami", descending=True, nulls_last=True, maintain_order=True)


def _rows_in_groups(table: pl.DataFrame, by: str) -> pl.DataFrame:
    rows = table.drop_nulls(by)
    return rows.filter(pl.col(by) >= 0) if rows[by].dtype.is_integer() else rows


def _compare_shares(here: tuple[int, int], elsewhere: tuple[int, int]) -> tuple[float, ...]:
    """Both shares, their ratio with its interval, and p, from two counts and their totals."""
    from scipy.stats import fisher_exact

    (n, inside), (n_elsewhere, outside) = here, elsewhere
    a, b = (n + 0.5) / (inside + 0.5), (n_elsewhere + 0.5) / (outside + 0.5)
    error = np.sqrt(1 / (n + 0.5) - 1 / (inside + 0.5) + 1 / (n_elsewhere + 0.5) - 1 / (outside + 0.5))
    low, high = np.exp(np.log(a / b) + np.array([-Z_95, Z_95]) * error)
    p = fisher_exact([[n, inside - n], [n_elsewhere, outside - n_elsewhere]]).pvalue
    return n / inside, n_elsewhere / max(outside, 1), a / b, float(low), float(high), float(p)


def _category_codes(values: pl.Series) -> NDArray[np.int64]:
    """Number the values from 0; numeric columns of many values are divided at their quartiles."""
    if values.dtype.is_numeric() and values.n_unique() > MAX_VALUES:
        numbers = values.cast(pl.Float64).to_numpy()
        return np.searchsorted(np.quantile(numbers, [0.25, 0.5, 0.75]), numbers, side="right")
    return np.unique(values.cast(pl.String).to_numpy().astype(str), return_inverse=True)[1]


def _measure_ami(orders: Sequence[NDArray[np.integer]], values: NDArray[np.integer]) -> NDArray[np.float64]:
    """Adjusted mutual information of `values` with groups, for the same groups in several orders; both count from 0.

    The entropies, and the information that chance gives (Vinh, Epps & Bailey 2010), depend only on how often each group
    and each value occurs, which no order changes. So they are computed once.
    """
    from scipy.special import xlogy
    from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

    n, n_values = len(values), int(values.max()) + 1
    table = contingency_matrix(orders[0], values)
    expected = expected_mutual_information(table, n)
    entropies = [-xlogy(s, s).sum() for s in (table.sum(axis=axis) / n for axis in (0, 1))]
    cells = [np.bincount(groups * n_values + values) / n for groups in orders]
    shared = sum(entropies) + np.array([xlogy(c, c).sum() for c in cells])
    return (shared - expected) / max(np.mean(entropies) - expected, np.finfo(float).eps)
