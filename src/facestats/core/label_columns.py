"""The columns of one attribute: label, score, margin and probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.tables import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facestats.core.tables import Rows


def label_columns(
    name: str,
    options: Sequence[str],
    probs: NDArray[np.floating],
    *,
    score: NDArray[np.floating] | None = None,
    nulls: Mapping[str, NDArray[np.bool_]] | None = None,
) -> list[pl.Series]:
    """Make the columns of one attribute from the probabilities of its options.

    Parameters
    ----------
    name
        Name of the attribute, with the prefix of its source.
    options
        Options, in the order of the configuration.
    probs
        Probability of each option, (n, n_options). A row that holds NaN has no label: all its columns are null.
    score
        Score of each label, (n,), 0 to 1; by default the probability of the label.
    nulls
        Rows to set to null, (n,) booleans per part: ``label``, ``score``, ``margin``, ``probs``.

    Returns
    -------
    `name` (Enum of `options`, the most probable option), `name_score` (Float32), `name_margin` (Float32: the
    highest probability minus the second highest; with one option, the probability itself) and `name_probs`
    (Array(Float32, n_options)).
    """
    unknown = ~np.isfinite(probs).all(axis=1)
    probs = np.where(unknown[:, None], 0, probs)
    nulls = {part: unknown | (nulls or {}).get(part, False) for part in ("label", "score", "margin", "probs")}
    ranked = np.sort(probs, axis=1)
    second = ranked[:, -2] if len(options) > 1 else np.zeros(len(probs), dtype=probs.dtype)
    best = pl.Series(probs.argmax(axis=1).astype(np.uint32))
    columns = {
        "label": pl.Series(list(options), dtype=pl.Enum(list(options))).gather(best).alias(name),
        "score": pl.Series(f"{name}_score", ranked[:, -1] if score is None else score, dtype=pl.Float32),
        "margin": pl.Series(f"{name}_margin", ranked[:, -1] - second, dtype=pl.Float32),
        "probs": pl.Series(
            f"{name}_probs", probs.astype(np.float32), dtype=pl.Array(pl.Float32, len(options))
        ),
    }
    return [_set_null(series, nulls[part]) for part, series in columns.items()]


def spread_rows(columns: Sequence[pl.Series], present: pl.Series) -> list[pl.Series]:
    """Spread the values of the `present` rows (Boolean) over all rows; the other rows become null."""
    n = int(present.sum())
    places = np.full(len(present), n, dtype=np.uint32)  # n is the place of the null that is appended below
    places[present.to_numpy()] = np.arange(n, dtype=np.uint32)
    index = pl.Series(places)
    return [series.extend_constant(None, 1).gather(index) for series in columns]


def label_names(table: Rows) -> list[str]:
    """Return the attributes that a table labels: columns with `_score` and `_probs` columns, except those of probes."""
    columns = table.collect_schema().names()
    names = [c for c in columns if f"{c}_score" in columns and f"{c}_probs" in columns]
    return [c for c in names if c.removeprefix("probe_") == c or c.removeprefix("probe_") not in names]


def mask_low_scores(
    df: pl.DataFrame, threshold: float, *, attributes: list[str] | None = None
) -> pl.DataFrame:
    """Set every label whose score is below `threshold` to null; stored tables keep all labels.

    Parameters
    ----------
    df
        A table with label columns `a` and their `a_score`, such as attributes or master.
    threshold
        Lowest score to keep, 0 to 1.
    attributes
        Attributes to mask; by default every column that has a `_score` column.

    Returns
    -------
    The same rows and columns, with null labels where the score is too low, null or NaN.

    Raises
    ------
    ValueError
        If `threshold` is not between 0 and 1.
    TableError
        If one of `attributes` has no label and score in `df`; the message lists those that have.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> labels = pl.DataFrame({"age": ["child", "elderly"], "age_score": [0.4, 0.9]})
    >>> fs.attributes.mask_low_scores(labels, 0.5)["age"].to_list()
    [None, 'elderly']
    >>> labels = fs.testing.example_project().labels
    >>> fs.attributes.mask_low_scores(labels, 1.0, attributes=["age"])["age"].null_count()
    12
    """
    if not 0 <= threshold <= 1:
        msg = f"threshold is a score between 0 and 1, got {threshold}"
        raise ValueError(msg)
    found = [c for c in df.columns if f"{c}_score" in df.columns]
    names = found if attributes is None else attributes
    if unknown := [a for a in names if a not in found]:
        msg = f"no labels with scores for {unknown}; the table has them for {found}"
        raise TableError(msg)
    scores = {a: pl.col(f"{a}_score") for a in names}  # Polars orders NaN above all numbers
    kept = {a: (score >= threshold) & ~score.cast(pl.Float64).is_nan() for a, score in scores.items()}
    return df.with_columns(pl.when(kept[a]).then(pl.col(a)).alias(a) for a in names)


def _set_null(values: pl.Series, where: NDArray[np.bool_]) -> pl.Series:
    if not where.any():
        return values
    return pl.select(pl.when(pl.Series(~where)).then(values).alias(values.name)).to_series()
