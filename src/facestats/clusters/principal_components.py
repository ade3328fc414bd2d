"""Principal components of face vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_DIMS = 50  # principal components that clusters and maps are computed from
BLOCK_ROWS = 65_536  # rows processed at a time


def reduce_vectors(vectors: NDArray[np.float32], n_dims: int) -> NDArray[np.float32]:
    """Project vectors on their first principal components, (n, n_dims or fewer) float32.

    The result is exact and deterministic (the largest loading of each component is positive). Besides input and
    output, one block of rows is in memory. There are fewer components if the vectors span fewer dimensions.
    """
    n, dim = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    covariance = np.zeros((dim, dim))
    for start in range(0, n, BLOCK_ROWS):
        block = vectors[start : start + BLOCK_ROWS] - mean
        covariance += block.T @ block
    values, axes = np.linalg.eigh(covariance)
    kept = min(n_dims, max(int((values > 1e-6 * max(values[-1], 1e-30)).sum()), 1))
    axes = axes[:, ::-1][:, :kept]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(kept)])
    axes = axes.astype(np.float32)
    out = np.empty((n, kept), dtype=np.float32)
    for start in range(0, n, BLOCK_ROWS):
        out[start : start + BLOCK_ROWS] = (vectors[start : start + BLOCK_ROWS] - mean) @ axes
    return out
