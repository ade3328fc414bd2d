"""Small statistics that several stages and plots share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def wilson_interval(
    successes: ArrayLike, totals: ArrayLike, *, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Interval of a proportion (Wilson 1927), sound for small counts and near 0 and 1.

    Parameters
    ----------
    successes, totals
        Counts; where the total is 0 the interval is 0 to 1.
    level
        Coverage.

    Returns
    -------
    Lower and upper ends.
    """
    from scipy.stats import norm

    k, n = np.asarray(successes, dtype=np.float64), np.asarray(totals, dtype=np.float64)
    z = norm.ppf((1 + level) / 2)
    safe = np.maximum(n, 1)
    share = k / safe
    centre = share + z**2 / (2 * safe)
    half = z * np.sqrt(share * (1 - share) / safe + z**2 / (4 * safe**2))
    low, high = (centre - half) / (1 + z**2 / safe), (centre + half) / (1 + z**2 / safe)
    # the ends are exact where rounding would miss them by a hair: 1 belongs to the interval of n out of n
    low = np.where((n > 0) & (k > 0), np.clip(low, 0, 1), 0.0)
    return low, np.where((n > 0) & (k < n), np.clip(high, 0, 1), 1.0)


def smallest_gap(
    n: int, others: int, share: float, *, level: float = 0.05, power: float = 0.8
) -> float | None:
    """How far a share must lie below that of the others for a test to find it.

    Parameters
    ----------
    n, others
        Size of the group and of the rest.
    share
        Share among the rest.
    level
        Two-sided p-value that counts; 0.05 over the number of groups where all of them are compared.
    power
        Chance to find it.

    Returns
    -------
    The smallest difference, in steps of 0.005 (Fleiss, Levin & Paik 2003, section 4.2); None where even a group in
    which nothing is right would be missed.
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
    """Agreement beyond chance (Cohen 1960).

    Parameters
    ----------
    counts
        How often each pair of options was given, (n_options, n_options) or with one more column: missing answers.

    Returns
    -------
    1 for full agreement, 0 for what chance gives; NaN where only one option occurs.
    """
    n = counts.sum()
    chance = float((counts.sum(axis=1) * counts[:, : len(counts)].sum(axis=0)).sum() / max(n, 1) ** 2)
    agreement = float(np.trace(counts[:, : len(counts)]) / n) if n else np.nan
    return (agreement - chance) / (1 - chance) if chance < 1 and n else np.nan
