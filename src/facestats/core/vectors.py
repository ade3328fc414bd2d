"""Vectors of faces: take them from a table and back, reduce, group, and find repeats."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from facestats.core.tables import KEY, TableError, check_columns

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

N_DIMS = 50  # principal components that clusters and layouts see
BLOCK = 65_536
PAIR_BLOCK = 1024
MINIBATCH_FROM = 50_000
THREADS_FROM = 20_000
MAX_DRAWN = 20_000


def to_matrix(df: pl.DataFrame, column: str = "embedding") -> NDArray[np.float32]:
    """View an Array column without nulls as a read-only (n, dim) array, without a copy.

    Raises
    ------
    TableError
        If the column holds nulls: rows without a face have no vector.
    """
    check_columns(df, column, made_by="fs.embed_faces (notebooks/02_embeddings.ipynb)")
    if n := df[column].null_count():
        msg = f"{n} of {df.height} rows have no {column}. Keep the others: df.drop_nulls({column!r})."
        raise TableError(msg)
    return df[column].to_numpy()


def take_vectors(
    embeddings: pl.DataFrame, column: str, *, least: int = 0
) -> tuple[pl.DataFrame, NDArray[np.float32]]:
    """Keys of the rows that have a vector, and the vectors; fewer than `least` are a ValueError."""
    check_columns(embeddings, KEY, column, made_by="fs.embed_faces (notebooks/02_embeddings.ipynb)")
    rows = embeddings.select(KEY, column).drop_nulls(column)
    if rows.height < least:
        msg = f"{rows.height} of {embeddings.height} rows have {column}; {least} or more are needed. Embed more faces."
        raise ValueError(msg)
    return rows.select(KEY), to_matrix(rows, column).astype(np.float32, copy=False)


def give_back(embeddings: pl.DataFrame, known: pl.DataFrame, columns: dict[str, pl.Series]) -> pl.DataFrame:
    """Give every row its values, null where it had no vector."""
    return embeddings.select(KEY).join(
        known.with_columns(**columns), on=KEY, how="left", validate="1:1", maintain_order="left"
    )


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


def find_centres(
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


def resample_centres(
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
            found = find_centres(vectors[drawn], int(labels.max()) + 1, seed=seed, n_init=3)
        once = np.unique(drawn, return_index=True)[1]
        scores.append(adjusted_rand_score(labels[drawn[once]], found[once]))
    return scores


def find_dense(vectors: NDArray[np.float32], min_cluster_size: int) -> NDArray[np.int32]:
    """Cluster by density (HDBSCAN); -1 is noise."""
    from sklearn.cluster import HDBSCAN

    if not 2 <= min_cluster_size <= len(vectors):
        msg = f"min_cluster_size must be between 2 and {len(vectors)} (the faces with a vector), got {min_cluster_size}"
        raise ValueError(msg)
    return HDBSCAN(min_cluster_size=min_cluster_size, copy=True).fit_predict(vectors)


def first_of_kind(vectors: NDArray[np.float32], min_cosine: float) -> NDArray[np.intp]:
    """Index of the first vector of each one's group; groups are chains of cosines of `min_cosine` or more."""
    n, wide = len(vectors), 8 * PAIR_BLOCK
    pairs = np.zeros((0, 2), dtype=np.int64)
    for start in range(0, n, PAIR_BLOCK):
        for right in range(start, n, wide):
            cosines = vectors[start : start + PAIR_BLOCK] @ vectors[right : right + wide].T
            near = np.divmod(np.flatnonzero(cosines >= min_cosine), cosines.shape[1])
            pairs = np.concatenate([pairs, np.column_stack(near) + np.array([start, right])])
            if len(pairs) > 4 * n:  # where many are alike the pairs would outgrow memory; their chains do not
                first = _first_linked(pairs, n)
                pairs = np.column_stack([np.arange(n), first])[first != np.arange(n)]
    return _first_linked(pairs, n)


def _first_linked(pairs: NDArray[np.int64], n: int) -> NDArray[np.intp]:
    """Index of the first of those that each of `n` is linked with by a chain of pairs."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if n == 0:
        return np.zeros(0, dtype=np.intp)
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    groups = connected_components(links, directed=False)[1]
    return np.unique(groups, return_index=True)[1][groups]
