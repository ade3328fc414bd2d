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


def adjust_p_values(p: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values for their number: false discovery rate (Benjamini & Hochberg 1995)."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)[::-1]
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1)
    return adjusted
