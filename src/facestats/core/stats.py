"""Small statistics that several stages and plots share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BLOCK = 65_536


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
    return np.where(n > 0, np.clip(low, 0, 1), 0.0), np.where(n > 0, np.clip(high, 0, 1), 1.0)


def adjust_p_values(p: ArrayLike) -> NDArray[np.float64]:
    """Correct p-values for their number: false discovery rate (Benjamini & Hochberg 1995)."""
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)[::-1]
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1)
    return adjusted


def reduce_vectors(vectors: NDArray[np.float32], n_dims: int) -> NDArray[np.float32]:
    """Project vectors on their first principal components, (n, <= n_dims) float32.

    Exact, deterministic (each component's largest loading is positive) and in memory for one block beside
    input and output. Fewer components come back where the vectors span fewer dimensions.
    """
    n, dim = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((dim, dim))
    for start in range(0, n, BLOCK):
        block = vectors[start : start + BLOCK] - mean
        covariance += block.T @ block
    values, axes = np.linalg.eigh(covariance)
    kept = min(n_dims, max(int((values > 1e-10 * max(values[-1], 1e-30)).sum()), 1))
    axes = axes[:, ::-1][:, :kept]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(kept)])
    out = np.empty((n, kept), dtype=np.float32)
    for start in range(0, n, BLOCK):
        out[start : start + BLOCK] = (vectors[start : start + BLOCK] - mean) @ axes
    return out
