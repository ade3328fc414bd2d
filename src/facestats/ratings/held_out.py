"""How much better held-out predictions are than the mean rating of the training faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.ratings.agreement import MIN_COMMON, correlate, rater_agreement, split_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facestats.ratings.regression import HeldOut

N_RESAMPLES = 1000


def score_held_out(
    matrix: NDArray[np.float64],
    target: NDArray[np.float64],
    held_out: HeldOut,
    groups: NDArray[np.int64],
    *,
    seed: int,
) -> pl.DataFrame:
    """Compute correlation, error and skill of held-out predictions, beside the limits set by the raters.

    Parameters
    ----------
    matrix
        Single ratings, (faces, raters), NaN where missing.
    target, held_out
        Mean rating of each face, and its prediction from cross-validation.
    groups
        Number of the group of each face; the 95 % bootstrap intervals resample whole groups.
    seed
        Fixes the resamples.

    Returns
    -------
    `measure` (single_rater, r, ceiling, rmse, skill), `value`, `low`, `high` (Float64).
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    resampled = []
    for _ in range(N_RESAMPLES):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        resampled.append(_measures(target[rows], held_out.predicted[rows], held_out.baseline[rows]))
    low, high = np.nanquantile(np.array(resampled), [0.025, 0.975], axis=0)
    value = _measures(target, held_out.predicted, held_out.baseline)
    measures = [
        ("single_rater", float(np.nanmean(rater_agreement(matrix))), None, None),
        ("r", value[0], low[0], high[0]),
        ("ceiling", split_variance(matrix).ceiling(), None, None),
        ("rmse", value[1], low[1], high[1]),
        ("skill", value[2], low[2], high[2]),
    ]
    schema = {"measure": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    return pl.DataFrame(measures, schema=schema, orient="row")


def held_out_r(
    target: NDArray[np.float64], predicted: NDArray[np.float64], baseline: NDArray[np.float64]
) -> float:
    """Correlate rating and prediction after subtracting the mean rating of the training faces from both.

    A held-out face is missing from its own training mean, so a high rating goes with a low mean. Without the
    subtraction, a model that only predicts this mean would show a clearly negative correlation over all folds. Such
    a model gets 0 here.
    """
    r = correlate(target - baseline, predicted - baseline)
    return r if np.isfinite(r) or len(target) < MIN_COMMON else 0.0


def _measures(
    target: NDArray[np.float64], predicted: NDArray[np.float64], baseline: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Correlation, root mean square error, and the share by which the prediction reduces the baseline's squared error."""
    error, baseline_error = ((target - predicted) ** 2).mean(), ((target - baseline) ** 2).mean()
    skill = 1 - error / baseline_error if baseline_error > 0 else np.nan
    return held_out_r(target, predicted, baseline), float(np.sqrt(error)), float(skill)
