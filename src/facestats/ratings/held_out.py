"""How far held-out predictions go beyond the mean of the training faces, which says nothing about a face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.ratings.agreement import MIN_COMMON, correlate, rater_agreement, split_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facestats.ratings.regression import HeldOut

RESAMPLES = 1000


def score_held_out(
    matrix: NDArray[np.float64],
    target: NDArray[np.float64],
    held: HeldOut,
    groups: NDArray[np.int64],
    *,
    seed: int,
) -> pl.DataFrame:
    """Correlation, error and skill of held-out predictions beside what the raters allow.

    Parameters
    ----------
    matrix
        Single ratings, (faces, raters), NaN where missing.
    target, held
        Mean rating of each face, and what cross-validation said of it.
    groups
        Number of each face's group; the 95 % bootstrap intervals resample whole groups.
    seed
        Fixes the resamples.

    Returns
    -------
    `measure` (single_rater, r, ceiling, rmse, skill), `value`, `low`, `high` (Float64).
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    drawn = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        drawn.append(_measures(target[rows], held.predicted[rows], held.baseline[rows]))
    low, high = np.nanquantile(np.array(drawn), [0.025, 0.975], axis=0)
    value = _measures(target, held.predicted, held.baseline)
    rows_out = [
        ("single_rater", float(np.nanmean(rater_agreement(matrix))), None, None),
        ("r", value[0], low[0], high[0]),
        ("ceiling", split_variance(matrix).ceiling(), None, None),
        ("rmse", value[1], low[1], high[1]),
        ("skill", value[2], low[2], high[2]),
    ]
    schema = {"measure": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(rows_out, schema=schema, orient="row")


def held_out_r(
    target: NDArray[np.float64], predicted: NDArray[np.float64], baseline: NDArray[np.float64]
) -> float:
    """Correlation of rating and prediction, both less the mean of the training faces; 0 if all predictions are it.

    A face is not in its own training mean: a high one lowers it. Predictions that are nothing but this mean would
    correlate with the ratings far below zero if folds were pooled as they are.
    """
    r = correlate(target - baseline, predicted - baseline)
    return r if np.isfinite(r) or len(target) < MIN_COMMON else 0.0


def _measures(
    target: NDArray[np.float64], predicted: NDArray[np.float64], baseline: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Correlation, root mean square error, and the share of the squared error that the prediction takes away."""
    squared, plain = ((target - predicted) ** 2).mean(), ((target - baseline) ** 2).mean()
    skill = 1 - squared / plain if plain > 0 else np.nan
    return held_out_r(target, predicted, baseline), float(np.sqrt(squared)), float(skill)
