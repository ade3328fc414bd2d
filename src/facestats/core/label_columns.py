"""The four columns of one attribute: label, score, margin and probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

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
        Probability of each option, (n, n_options).
    score
        Score of each label, (n,), 0 to 1; by default the probability of the best option.
    nulls
        Rows that stay null, (n,) booleans, by column: ``label``, ``score``, ``margin``, ``probs``.

    Returns
    -------
    `name` (Enum in the order of `options`), `name_score` and `name_margin` (Float32: lead over the second option,
    or the probability itself where there is but one option), `name_probs` (Array(Float32, n_options)).
    """
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
    return [_blank(series, (nulls or {}).get(part)) for part, series in columns.items()]


def spread_rows(columns: Sequence[pl.Series], present: pl.Series) -> list[pl.Series]:
    """Give the values of the rows that are `present` (Boolean) their places; all others become null."""
    n = int(present.sum())
    places = np.full(len(present), n, dtype=np.uint32)  # one past the end reads as null
    places[present.to_numpy()] = np.arange(n, dtype=np.uint32)
    index = pl.Series(places)
    return [series.extend_constant(None, 1).gather(index) for series in columns]


def label_names(table: Rows) -> list[str]:
    """Names of the attributes that a table labels: columns with `_score` and `_probs` beside them, probes left out."""
    columns = table.collect_schema().names()
    names = [c for c in columns if f"{c}_score" in columns and f"{c}_probs" in columns]
    return [c for c in names if c.removeprefix("probe_") == c or c.removeprefix("probe_") not in names]


def _blank(values: pl.Series, where: NDArray[np.bool_] | None) -> pl.Series:
    if where is None or not where.any():
        return values
    return pl.select(pl.when(pl.Series(~where)).then(values).alias(values.name)).to_series()
