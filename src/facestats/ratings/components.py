"""Intervals of the intraclass correlations: faces and raters are both a sample of those there could have been."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.ratings.agreement import split_variance

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE = 1e-4  # nearer to 0 or 1 the logit says nothing


def icc_intervals(
    ratings: NDArray[np.float64], *, n_resamples: int, seed: int, level: float = 0.95
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Intervals of ICC(2,1) and ICC(2,k) by a parametric bootstrap.

    Resampling the faces alone would take the raters at hand for all there are. Here faces, raters and the rest are
    drawn anew from the estimated components, in the same seen cells, and estimated again; basic limits on the logit
    scale (Davison & Hinkley 1997, section 5.2), or those of the draws themselves where draws lie at 0.

    Parameters
    ----------
    ratings
        (faces, raters), NaN where missing.
    n_resamples
        Draws.
    seed
        Fixes them.
    level
        Coverage.

    Returns
    -------
    (low, high) of each.
    """
    rng, found = np.random.default_rng(seed), split_variance(ratings)
    blank = np.where(np.isfinite(ratings), 0.0, np.nan)
    ks = np.array([1.0, found.per_face])
    drawn = np.empty((n_resamples, 2))
    for i in range(n_resamples):
        faces = np.sqrt(found.faces) * rng.standard_normal((len(ratings), 1))
        raters = np.sqrt(found.raters) * rng.standard_normal(ratings.shape[1])
        rest = np.sqrt(found.rest) * rng.standard_normal(ratings.shape)
        again = split_variance(blank + faces + raters + rest)
        drawn[i] = [again.icc(k) for k in ks]
    out = []
    for value, column in zip((found.icc(k) for k in ks), drawn.T, strict=True):
        ends = np.nanquantile(_logit(column), [(1 - level) / 2, (1 + level) / 2])
        low, high = 2 * _logit(value) - ends[::-1]
        if ends[0] <= _logit(0.0):  # mirrored, a draw of 0 would be a limit near 1
            low, high = ends
        out.append((0.0 if low <= _logit(0.0) else _expit(low), _expit(high)))
    return out[0], out[1]


def _logit(share: NDArray[np.float64] | float) -> NDArray[np.float64]:
    inside = np.clip(share, EDGE, 1 - EDGE)
    return np.log(inside / (1 - inside))


def _expit(value: float) -> float:
    return float(1 / (1 + np.exp(-value)))
