"""How far raters agree, computed from a matrix of ratings: faces by raters, NaN where a rater did not see a face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facestats.core.vectors import number_components

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

RCOND = 1e-10  # far above rounding errors, far below the smallest singular value of a sparse panel
MIN_COMMON = 3  # faces that two columns must share before they are correlated
LOGIT_LIMIT = 1e-4  # shares are kept this far from 0 and 1 before the logit is taken


@dataclass(frozen=True)
class VarianceComponents:
    """How the variance of ratings divides into faces, raters (severity) and the rest (taste and noise).

    Parameters
    ----------
    faces, raters, rest
        Variance components, squared scale points; none below zero.
    per_face
        Harmonic mean of the number of ratings per face.
    """

    faces: float
    raters: float
    rest: float
    per_face: float

    def icc(self, k: float = 1.0) -> float:
        """Absolute agreement of the mean of `k` random raters: ICC(2,1) or ICC(2,k)."""
        return _signal_share(self.faces, (self.raters + self.rest) / k)

    def consistency(self, k: float) -> float:
        """Reliability of the mean of the same `k` raters on all faces, ICC(C,k): severity does not count."""
        return _signal_share(self.faces, self.rest / k)

    def ceiling(self) -> float:
        """Highest correlation with the mean ratings that any prediction can be expected to reach."""
        return float(np.sqrt(self.consistency(self.per_face)))


def _signal_share(signal: float, noise: float) -> float:
    return signal / (signal + noise) if signal + noise > 0 else np.nan


def find_panels(ratings: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the panels: groups of raters and faces that are connected through shared faces and raters.

    Returns
    -------
    Panel of each face and of each rater, from 0 on. There is one panel if everybody can be compared with everybody.
    """
    seen = np.isfinite(ratings)
    if seen.all(axis=0).any() and seen.any(axis=0).all():  # one rater saw all faces
        return np.zeros(len(seen), dtype=np.int64), np.zeros(seen.shape[1], dtype=np.int64)
    faces, raters = np.nonzero(seen)
    panel = number_components(faces, len(seen) + raters, sum(seen.shape))
    return panel[: len(seen)], panel[len(seen) :]


def additive_effects(ratings: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit rating = face + severity by least squares, so that the means do not depend on who saw which face.

    Panels that share neither faces nor raters cannot be compared. The severity therefore averages zero within each
    panel, and the faces of two panels differ as their plain means do.

    Parameters
    ----------
    ratings
        (faces, raters), NaN where missing; every row and every column holds at least one rating.

    Returns
    -------
    Effect of each face in scale points, and severity of each rater.
    """
    seen = np.isfinite(ratings)
    filled, weight = np.where(seen, ratings, 0.0), seen.astype(np.float64)
    transposed = len(ratings) < ratings.shape[1]  # solve for the smaller side: its system is the smaller one
    if transposed:
        filled, weight = filled.T, weight.T
    per_row = weight.sum(axis=1, keepdims=True)
    system = _normal_equations(weight)
    right = (filled - weight * (filled.sum(axis=1, keepdims=True) / per_row)).sum(axis=0)
    columns = np.linalg.pinv(system, rcond=RCOND, hermitian=True) @ right
    rows = (filled - weight * columns).sum(axis=1) / per_row[:, 0]
    faces, severity = (columns, rows) if transposed else (rows, columns)
    panel_of_face, panel_of_rater = find_panels(ratings)
    shift = np.bincount(panel_of_rater, severity) / np.bincount(panel_of_rater)
    return faces + shift[panel_of_face], severity - shift[panel_of_rater]


def _normal_equations(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Normal equations of the columns after the rows are eliminated; singular by one constant per panel."""
    return np.diag(weight.sum(axis=0)) - weight.T @ (weight / weight.sum(axis=1, keepdims=True))


def severity_errors(ratings: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Standard error of each rater's severity, from the covariance of the fit of :func:`additive_effects`.

    The severities are uncertain together: that of a rater depends on those of all who rated the same faces (Searle 1971,
    section 7.1). All raters are taken to be equally exact.

    Parameters
    ----------
    ratings
        (faces, raters), NaN where missing; every row and every column holds at least one rating.

    Returns
    -------
    Standard errors in scale points, NaN if there are too few ratings; and the degrees of freedom of their variance.
    """
    seen = np.isfinite(ratings)
    weight = seen.astype(np.float64)
    faces, severity = additive_effects(ratings)
    _, panel = find_panels(ratings)
    n_panels = int(panel.max()) + 1
    freedom = int(seen.sum()) - sum(ratings.shape) + n_panels
    if freedom < 1:
        return np.full(ratings.shape[1], np.nan), freedom
    residual = np.where(seen, ratings - faces[:, None] - severity, 0.0)
    system = _normal_equations(weight)
    # a constant within each panel makes the system regular, and takes nothing from severities that sum to zero
    constant = (panel[:, None] == panel) / np.bincount(panel)[panel]
    variance = np.diag(np.linalg.inv(system + constant) - constant) * (residual**2).sum() / freedom
    alone = np.bincount(panel)[panel] == 1  # compared with nobody
    return np.where(alone, np.nan, np.sqrt(np.maximum(variance, 0))), freedom


def split_variance(ratings: NDArray[np.float64]) -> VarianceComponents:
    """Estimate the variance components of faces, raters and the rest; cells may be missing.

    Henderson's method III for two crossed random factors (Searle, Casella & McCulloch 1992, section 5.5): the sum
    of squares of one factor, adjusted for the other, is set equal to its expectation. On a complete table this is
    the analysis of variance of Shrout & Fleiss (1979) and McGraw & Wong (1996). Each further panel costs one degree
    of freedom.

    Raises
    ------
    ValueError
        If there are fewer than two faces or raters, or too few ratings to tell them apart.
    """
    seen = np.isfinite(ratings)
    n, (a, b) = int(seen.sum()), ratings.shape
    panels = int(find_panels(ratings)[0].max(initial=0)) + 1
    free = n - a - b + panels
    if a < 2 or b < 2 or free < 1:
        msg = (
            f"{n} ratings of {a} faces by {b} raters cannot be split into faces, raters and noise. At least two"
            " faces and two raters are needed, and more ratings than faces and raters together. Add ratings, or"
            " leave out raters who rated few faces."
        )
        raise ValueError(msg)
    faces, severity = additive_effects(ratings)
    rest = _sum_of_squares(ratings - faces[:, None] - severity)
    within_raters = _sum_of_squares(ratings - np.nanmean(ratings, axis=0))
    within_faces = _sum_of_squares(ratings - np.nanmean(ratings, axis=1, keepdims=True))
    noise = rest / free
    between_faces = (within_raters - rest - (a - panels) * noise) / (n - b)
    between_raters = (within_faces - rest - (b - panels) * noise) / (n - a)
    per_face = 1 / np.mean(1 / seen.sum(axis=1))
    return VarianceComponents(max(between_faces, 0.0), max(between_raters, 0.0), noise, float(per_face))


def _sum_of_squares(values: NDArray[np.float64]) -> float:
    return float(np.nansum(values**2))


def other_raters_mean(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of all other raters for every cell, without their severity; NaN where nobody else saw the face."""
    _, severity = additive_effects(ratings)
    level = ratings - severity
    seen = np.isfinite(level)
    total, count = np.nansum(level, axis=1, keepdims=True), seen.sum(axis=1, keepdims=True)
    others = count - seen
    with np.errstate(invalid="ignore", divide="ignore"):
        means = (total - np.where(seen, level, 0.0)) / others
    return np.where(seen & (others > 0), means, np.nan)


def rater_agreement(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of each rater with the mean of the others; NaN for raters who always give the same rating."""
    others = other_raters_mean(ratings)
    return np.array([correlate(ratings[:, j], others[:, j]) for j in range(ratings.shape[1])])


def split_half(ratings: NDArray[np.float64], *, n_splits: int, seed: int) -> NDArray[np.float64]:
    """Correlate the means of two random halves of the raters.

    From such a correlation r, 2r / (1 + r) is the reliability of all raters together (Spearman 1910, Brown 1910).

    Parameters
    ----------
    ratings
        (faces, raters), NaN where missing.
    n_splits
        Number of random splits.
    seed
        Fixes the splits.

    Returns
    -------
    One correlation per split, (n_splits,); NaN where the halves share too few faces.
    """
    rng = np.random.default_rng(seed)
    _, severity = additive_effects(ratings)
    level = ratings - severity
    seen = np.isfinite(level).astype(np.float64)
    filled = np.where(seen > 0, level, 0.0)
    b = ratings.shape[1]
    out = np.full(n_splits, np.nan)
    for i in range(n_splits):
        half = (rng.permutation(b) < b // 2).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            means = [filled @ w / (seen @ w) for w in (half, 1 - half)]
        out[i] = correlate(*means)
    return out


def correlate(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Pearson correlation over the places where both are known; NaN if either is constant."""
    both = np.isfinite(x) & np.isfinite(y)
    if both.sum() < MIN_COMMON:
        return np.nan
    x, y = x[both] - x[both].mean(), y[both] - y[both].mean()
    scale = np.sqrt((x**2).sum() * (y**2).sum())
    return float((x * y).sum() / scale) if scale > 1e-12 else np.nan


def fisher_interval(r: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a correlation over `n` pairs (Fisher 1921); NaN for fewer than four pairs."""
    from scipy.stats import norm

    if not np.isfinite(r) or n < 4:
        return np.nan, np.nan
    z, half = np.arctanh(np.clip(r, -0.999999, 0.999999)), norm.ppf((1 + level) / 2) / np.sqrt(n - 3)
    return float(np.tanh(z - half)), float(np.tanh(z + half))


def resample_faces(
    ratings: NDArray[np.float64],
    measure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    n_resamples: int,
    seed: int,
) -> NDArray[np.float64]:
    """Compute `measure` on bootstrap resamples of the faces (rows); (n_resamples, values)."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n_resamples):
        drawn = ratings[rng.integers(0, len(ratings), len(ratings))]
        rated = drawn[
            :, np.isfinite(drawn).any(axis=0)
        ]  # a resample may hold no face of a rater of few faces
        out.append(measure(rated))
    return np.array(out)


def icc_intervals(
    ratings: NDArray[np.float64], *, n_resamples: int, seed: int, level: float = 0.95
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Confidence intervals of ICC(2,1) and ICC(2,k) by a parametric bootstrap.

    A bootstrap of the faces alone would treat the raters at hand as the only possible ones. Here new faces, raters
    and noise are simulated from the estimated components, in the same observed cells, and the coefficients are
    estimated again. The limits are basic bootstrap limits on the logit scale (Davison & Hinkley 1997, section 5.2);
    where simulated values reach 0, they are the quantiles of the simulated values themselves.

    Parameters
    ----------
    ratings
        (faces, raters), NaN where missing.
    n_resamples
        Number of simulated tables.
    seed
        Fixes the simulation.
    level
        Coverage, 0 to 1.

    Returns
    -------
    (low, high) of each coefficient.
    """
    from scipy.special import expit

    rng, found = np.random.default_rng(seed), split_variance(ratings)
    if not np.isfinite(found.icc()):  # all ratings are the same
        return (np.nan, np.nan), (np.nan, np.nan)
    blank = np.where(np.isfinite(ratings), 0.0, np.nan)
    ks = np.array([1.0, found.per_face])
    simulated = np.empty((n_resamples, 2))
    for i in range(n_resamples):
        faces = np.sqrt(found.faces) * rng.standard_normal((len(ratings), 1))
        raters = np.sqrt(found.raters) * rng.standard_normal(ratings.shape[1])
        rest = np.sqrt(found.rest) * rng.standard_normal(ratings.shape)
        again = split_variance(blank + faces + raters + rest)
        simulated[i] = [again.icc(k) for k in ks]
    out = []
    for value, column in zip((found.icc(k) for k in ks), simulated.T, strict=True):
        ends = np.nanquantile(_clipped_logit(column), [(1 - level) / 2, (1 + level) / 2])
        low, high = 2 * _clipped_logit(value) - ends[::-1]
        if ends[0] <= _clipped_logit(0.0):
            low, high = ends  # a basic limit mirrors the simulated values: one of 0 would give a limit near 1
        out.append((0.0 if low <= _clipped_logit(0.0) else float(expit(low)), float(expit(high))))
    return out[0], out[1]


def _clipped_logit(share: NDArray[np.float64] | float) -> NDArray[np.float64]:
    from scipy.special import logit

    return logit(np.clip(share, LOGIT_LIMIT, 1 - LOGIT_LIMIT))
