"""Means of faces, some of which show one person: intervals over persons, and tests that exchange whole persons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.core.stats import wilson_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_PERMUTATIONS = 1999
MAX_EXCHANGED = 20_000  # persons; of more, Welch's t is as exact, and their orders would fill memory


class PersonTest:
    """Compares the mean of some faces with that of all others.

    Parameters
    ----------
    values
        A value per face, (n,); NaN where there is none.
    persons
        Number of the person of each face, (n,).
    seed
        Seed of the permutations.
    """

    def __init__(self, values: NDArray[np.float64], persons: NDArray[np.int64], *, seed: int) -> None:
        self._values, self._persons, self._seed = values, persons, seed
        self._orders: dict[int, NDArray[np.int32]] = {}

    def p(self, mask: NDArray[np.bool_]) -> float:
        """P-value of a difference between the faces of `mask` and the others; NaN if there are none of either.

        Whole persons are exchanged between both sides (Good 2005, section 3.2), and the order itself counts as one of the
        permutations (Phipson & Smyth 2010), so that p is never smaller than the number of persons allows. A person
        on both sides counts as one on each, which makes the test conservative.
        """
        known = np.isfinite(self._values)
        inside = mask[known]
        if not inside.any() or inside.all():
            return float("nan")
        values, persons = self._values[known], self._persons[known]
        codes, number = np.unique(2 * persons + inside, return_inverse=True)
        sums, counts = np.bincount(number, values), np.bincount(number).astype(np.float64)
        ours = codes % 2 == 1
        m, n_units = int(ours.sum()), len(codes)
        if n_units > MAX_EXCHANGED:
            return _welch(sums / counts, ours)
        drawn = self._order(n_units)[:, :m]
        observed = _gap(sums[ours].sum(), counts[ours].sum(), sums.sum(), counts.sum())
        gaps = _gap(sums[drawn].sum(axis=1), counts[drawn].sum(axis=1), sums.sum(), counts.sum())
        return float((1 + (gaps >= observed - 1e-9).sum()) / (1 + N_PERMUTATIONS))

    def _order(self, n_units: int) -> NDArray[np.int32]:
        if n_units not in self._orders:
            rows = np.tile(np.arange(n_units, dtype=np.int32), (N_PERMUTATIONS, 1))
            self._orders[n_units] = np.random.default_rng(self._seed).permuted(rows, axis=1)
        return self._orders[n_units]


def mean_interval(values: NDArray[np.float64], persons: NDArray[np.int64]) -> tuple[float, float, float]:
    """Mean of shares, between 0 and 1, and its 95 % interval: Student's t over persons (cluster-robust variance).

    If nothing varies, or if there is one person, the interval is Wilson's for the number of persons.
    """
    from scipy.stats import t as student

    n, mean = len(values), float(values.mean())
    number = np.unique(persons, return_inverse=True)[1]
    deviations = np.bincount(number, values - mean)
    n_persons = len(deviations)
    if n_persons < 2 or np.allclose(values, mean):
        low, high = wilson_interval(n_persons * mean, n_persons)
        return mean, float(low), float(high)
    error = np.sqrt(n_persons / (n_persons - 1) * (deviations**2).sum()) / n
    half = student.ppf(0.975, n_persons - 1) * error
    return mean, max(0.0, mean - half), min(1.0, mean + half)


def _gap(
    sums: NDArray[np.float64], counts: NDArray[np.float64], total: float, n: float
) -> NDArray[np.float64]:
    return np.abs(sums / counts - (total - sums) / (n - counts))


def _welch(means: NDArray[np.float64], ours: NDArray[np.bool_]) -> float:
    from scipy.stats import ttest_ind

    return float(ttest_ind(means[ours], means[~ours], equal_var=False).pvalue)
