"""Group vectors: principal components, k-means, HDBSCAN, and the bootstrap of their groups."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_DIMS = 50  # principal components that clusters and layouts see
BLOCK = 65_536
MINIBATCH_FROM = 50_000
THREADS_FROM = 20_000
MAX_DRAWN = 20_000


def reduce_vectors(vectors: NDArray[np.float32], n_dims: int) -> NDArray[np.float32]:
    """Project vectors on their first principal components, (n, <= n_dims) float32.

    Exact, deterministic (each component's largest loading is positive) and in memory for one block beside
    input and output. Fewer components come back where the vectors span fewer dimensions.
    """
    n, dim = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    covariance = np.zeros((dim, dim))
    for start in range(0, n, BLOCK):
        block = vectors[start : start + BLOCK] - mean
        covariance += block.T @ block
    values, axes = np.linalg.eigh(covariance)
    kept = min(n_dims, max(int((values > 1e-6 * max(values[-1], 1e-30)).sum()), 1))
    axes = axes[:, ::-1][:, :kept]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(kept)])
    axes = axes.astype(np.float32)
    out = np.empty((n, kept), dtype=np.float32)
    for start in range(0, n, BLOCK):
        out[start : start + BLOCK] = (vectors[start : start + BLOCK] - mean) @ axes
    return out


def number_by_size(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Rename labels so that 0 is the most frequent; ties go to the one met first; below 0 stays -1."""
    names, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    order = order[names[order] >= 0]
    out = np.full(len(labels), -1, dtype=np.int32)
    for rank, name in enumerate(names[order]):
        out[labels == name] = rank
    return out


def cluster_kmeans(
    vectors: NDArray[np.float32], n_clusters: int | None, *, seed: int, n_init: int = 10
) -> NDArray[np.int32]:
    """Cluster by k-means, above 50,000 vectors by mini-batches; labels 0 to n_clusters - 1."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    if n_clusters is None or not 2 <= n_clusters <= len(vectors):
        msg = f"n_clusters must be between 2 and {len(vectors)} (the faces with a vector), got {n_clusters}"
        raise ValueError(msg)
    if len(vectors) > MINIBATCH_FROM:
        model = MiniBatchKMeans(n_clusters, batch_size=8192, n_init=3, random_state=seed)
    else:
        model = KMeans(n_clusters, n_init=n_init, random_state=seed)
    # on small data threads wait for each other: one is several times faster, and always gives the same
    with threadpool_limits(1 if len(vectors) < THREADS_FROM else None):
        return model.fit_predict(vectors)


def bootstrap_ari(
    vectors: NDArray[np.float32], labels: NDArray[np.integer], *, n_resamples: int, seed: int
) -> list[float]:
    """Cluster bootstrap resamples by k-means; adjusted Rand index with `labels` on the vectors drawn."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(seed)
    n, scores = len(vectors), []
    for _ in range(n_resamples):
        drawn = rng.integers(0, n, min(n, MAX_DRAWN))
        with (
            warnings.catch_warnings()
        ):  # of few vectors a resample may hold fewer different ones than clusters
            warnings.simplefilter("ignore", ConvergenceWarning)
            seed = int(rng.integers(2**31))
            found = cluster_kmeans(vectors[drawn], int(labels.max()) + 1, seed=seed, n_init=3)
        once = np.unique(drawn, return_index=True)[1]
        scores.append(adjusted_rand_score(labels[drawn[once]], found[once]))
    return scores


def cluster_hdbscan(vectors: NDArray[np.float32], min_cluster_size: int) -> NDArray[np.int32]:
    """Cluster by density (HDBSCAN); -1 is noise."""
    from sklearn.cluster import HDBSCAN

    if not 2 <= min_cluster_size <= len(vectors):
        msg = f"min_cluster_size must be between 2 and {len(vectors)} (the faces with a vector), got {min_cluster_size}"
        raise ValueError(msg)
    return HDBSCAN(min_cluster_size=min_cluster_size, copy=True).fit_predict(vectors)
