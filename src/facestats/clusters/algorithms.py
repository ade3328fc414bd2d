"""Clustering algorithms on arrays of vectors: k-means and HDBSCAN."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINIBATCH_FROM = 50_000  # vectors above which k-means uses mini-batches
THREADS_FROM = 20_000  # vectors from which on k-means uses several threads


def cluster_kmeans(
    vectors: NDArray[np.float32], n_clusters: int | None, *, seed: int, n_init: int = 10
) -> NDArray[np.int32]:
    """Cluster by k-means, above 50,000 vectors by mini-batches; labels are 0 to n_clusters - 1."""
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    if n_clusters is None or not 2 <= n_clusters <= len(vectors):
        msg = f"n_clusters must be between 2 and {len(vectors)} (the faces with a vector), got {n_clusters}"
        raise ValueError(msg)
    if len(vectors) > MINIBATCH_FROM:
        model = MiniBatchKMeans(n_clusters, batch_size=8192, n_init=3, random_state=seed)
    else:
        model = KMeans(n_clusters, n_init=n_init, random_state=seed)
    # on small data one thread is several times faster, since threads wait for each other, and its result is always the same
    with threadpool_limits(1 if len(vectors) < THREADS_FROM else None):
        return model.fit_predict(vectors)


def cluster_hdbscan(vectors: NDArray[np.float32], min_cluster_size: int) -> NDArray[np.int32]:
    """Cluster by density (HDBSCAN); -1 is noise."""
    from sklearn.cluster import HDBSCAN

    if not 2 <= min_cluster_size <= len(vectors):
        msg = f"min_cluster_size must be between 2 and {len(vectors)} (the faces with a vector), got {min_cluster_size}"
        raise ValueError(msg)
    return HDBSCAN(min_cluster_size=min_cluster_size, copy=True).fit_predict(vectors)


def number_by_size(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Renumber labels so that 0 is the most frequent.

    Of equally frequent labels, the one that occurs first comes first. Negative labels become -1.
    """
    names, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    order = order[names[order] >= 0]
    out = np.full(len(labels), -1, dtype=np.int32)
    for rank, name in enumerate(names[order]):
        out[labels == name] = rank
    return out
