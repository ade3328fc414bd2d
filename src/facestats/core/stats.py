"""Small statistics that several stages and plots use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def wilson_interval(
    successes: ArrayLike, totals: ArrayLike, *, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the score interval of a proportion (Wilson 1927), which is valid for small counts and near 0 and 1.

    Parameters
    ----------
    successes, totals
        Counts, of any common shape; where the total is 0 the interval is 0 to 1.
    level
        Coverage, 0 to 1.

    Returns
    -------
    Lower and upper ends, two float64 arrays of that shape.
    """
    from scipy.stats import norm

    k, n = np.asarray(successes, dtype=np.float64), np.asarray(totals, dtype=np.float64)
    z = norm.ppf((1 + level) / 2)
    safe = np.maximum(n, 1)
    share = k / safe
    centre = share + z**2 / (2 * safe)
    half = z * np.sqrt(share * (1 - share) / safe + z**2 / (4 * safe**2))
    low, high = (centre - half) / (1 + z**2 / safe), (centre + half) / (1 + z**2 / safe)
    # set the ends of 0 and of n out of n exactly: rounding errors could exclude 0 or 1
    low = np.where((n > 0) & (k > 0), np.clip(low, 0, 1), 0.0)
    return low, np.where((n > 0) & (k < n), np.clip(high, 0, 1), 1.0)


def smallest_gap(
    n: int, others: int, share: float, *, level: float = 0.05, power: float = 0.8
) -> float | None:
    """Compute the smallest difference of two proportions that a test detects with the given power.

    Parameters
    ----------
    n, others
        Size of the group, and of the rest.
    share
        Proportion in the rest, 0 to 1; that of the group is lower.
    level
        Two-sided significance level; for several groups, 0.05 divided by their number.
    power
        Probability to detect the difference, 0 to 1.

    Returns
    -------
    The smallest difference, in steps of 0.005 (Fleiss, Levin & Paik 2003, section 4.2); None if the test would not
    even detect a group with the proportion 0.
    """
    from scipy.stats import norm

    if not (n and others):
        return None
    gap = np.arange(0.005, share + 1e-9, 0.005)
    own = np.clip(share - gap, 0, 1)
    pooled = (own * n + share * others) / (n + others)
    noise = norm.isf(level / 2) * np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / others))
    needed = noise + norm.ppf(power) * np.sqrt(own * (1 - own) / n + share * (1 - share) / others)
    return float(gap[gap >= needed][0]) if (gap >= needed).any() else None


def cohen_kappa(counts: NDArray[np.integer]) -> float:
    """Compute the agreement beyond chance, kappa (Cohen 1960).

    Parameters
    ----------
    counts
        How often each pair of options was given, (n_options, n_options); a further column may count missing answers.

    Returns
    -------
    Kappa: 1 is full agreement, 0 is agreement by chance; NaN if only one option occurs or nothing was counted.
    """
    n = counts.sum()
    chance = float((counts.sum(axis=1) * counts[:, : len(counts)].sum(axis=0)).sum() / max(n, 1) ** 2)
    agreement = float(np.trace(counts[:, : len(counts)]) / n) if n else np.nan
    return (agreement - chance) / (1 - chance) if chance < 1 and n else np.nan
