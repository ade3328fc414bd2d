"""Stage 07: group faces by their vectors, and lay them out in two dimensions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from facestats.core.progress import say
from facestats.core.stats import reduce_vectors
from facestats.core.tables import KEY, check_columns, to_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = 1
N_DIMS = 50  # principal components that clusters and layouts see
MINIBATCH_FROM = 50_000
MIN_UMAP = 10  # fewer points have no neighbourhoods worth the name
MADE_BY = "fs.embed_faces (notebooks/02_embeddings.ipynb)"


def cluster_faces(
    embeddings: pl.DataFrame,
    *,
    n_clusters: int | None = None,
    seed: int,
    method: Literal["kmeans", "hdbscan"] = "kmeans",
    min_cluster_size: int = 10,
    column: str = "embedding",
) -> pl.DataFrame:
    """Cluster the faces on the first principal components of their vectors.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`; rows without a vector get no cluster.
    n_clusters
        Number of clusters, for `kmeans`.
    seed
        Decides the starting points of `kmeans`; `hdbscan` knows no chance.
    method
        `kmeans` gives every face a cluster (mini-batches above 50,000 faces); `hdbscan` finds dense groups
        and their number itself, and calls the other faces noise (Campello, Moulavi & Sander 2013).
    min_cluster_size
        Smallest group that `hdbscan` calls a cluster.
    column
        Which vector: `embedding` (face) or `embedding_full` (whole picture).

    Returns
    -------
    All rows: `image_id` and `cluster` (Int32; 0 is the largest; -1 noise of hdbscan; null no vector).
    """
    known, vectors = _vectors(embeddings, column)
    if method == "kmeans":
        labels = _kmeans(reduce_vectors(vectors, N_DIMS), n_clusters, seed=seed)
    elif method == "hdbscan":
        labels = _hdbscan(reduce_vectors(vectors, N_DIMS), min_cluster_size)
    else:
        msg = f"method must be 'kmeans' or 'hdbscan', got {method!r}"
        raise ValueError(msg)
    return _back(embeddings, known, {"cluster": pl.Series(number_by_size(labels), dtype=pl.Int32)})


def map_faces(
    embeddings: pl.DataFrame,
    *,
    n_clusters: int,
    seed: int,
    n_neighbors: int = 15,
    column: str = "embedding",
) -> pl.DataFrame:
    """Cluster the faces and lay them out: the whole table of this stage in one call.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    n_clusters, seed, column
        As in :func:`cluster_faces`; no more clusters than faces are made, with a message.
    n_neighbors
        As in :func:`project_umap`.

    Returns
    -------
    All rows: `image_id`, `cluster` (Int32), `x` and `y` (Float32); null where there is no vector.
    """
    n_faces = embeddings.height - embeddings[column].null_count()
    if n_faces < n_clusters:
        say(f"map_faces: n_clusters lowered from {n_clusters} to {n_faces}, since there are {n_faces} faces.")
    clusters = cluster_faces(embeddings, n_clusters=min(n_clusters, n_faces), seed=seed, column=column)
    layout = project_umap(embeddings, seed=seed, n_neighbors=n_neighbors, column=column)
    return clusters.join(layout, on=KEY, how="left", validate="1:1", maintain_order="left")


def project_umap(
    embeddings: pl.DataFrame, *, seed: int, n_neighbors: int = 15, column: str = "embedding"
) -> pl.DataFrame:
    """Lay the faces out in two dimensions so that neighbours stay neighbours (UMAP, McInnes et al. 2018).

    Distances between far groups and the sizes of groups mean nothing in such a map.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    seed
        Decides the layout; the same seed gives the same map on the same machine.
    n_neighbors
        How many neighbours count as near; lowered, with a message, where there are not so many faces.
        Below 10 faces the PCA layout comes back, with a message.
    column
        Which vector: `embedding` or `embedding_full`.

    Returns
    -------
    All rows: `image_id`, `x` and `y` (Float32; null where there is no vector).
    """
    known, vectors = _vectors(embeddings, column)
    n = len(vectors)
    if n < MIN_UMAP:
        say(f"project_umap: {n} faces are too few for UMAP (it needs {MIN_UMAP}); this is their PCA layout.")
        return project_pca(embeddings, column=column)
    if n_neighbors >= n:
        say(f"project_umap: n_neighbors lowered from {n_neighbors} to {n - 1}, since there are {n} faces.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # that Tensorflow is absent, which nobody needs here
        from umap import UMAP

    # a random start spends its time untangling; two principal components are also reproducible
    model = UMAP(n_neighbors=min(n_neighbors, n - 1), random_state=seed, init="pca", n_jobs=1)
    return _back(embeddings, known, _xy(model.fit_transform(reduce_vectors(vectors, N_DIMS))))


def project_pca(embeddings: pl.DataFrame, *, column: str = "embedding") -> pl.DataFrame:
    """Lay the faces out on their first two principal components; no chance is involved.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    column
        Which vector: `embedding` or `embedding_full`.

    Returns
    -------
    All rows: `image_id`, `x` and `y` (Float32; null where there is no vector).
    """
    known, vectors = _vectors(embeddings, column)
    return _back(embeddings, known, _xy(reduce_vectors(vectors, 2)))


def number_by_size(labels: NDArray[np.integer]) -> NDArray[np.int32]:
    """Rename labels so that 0 is the most frequent; ties go to the one met first; below 0 stays -1."""
    names, first, counts = np.unique(labels, return_index=True, return_counts=True)
    order = np.lexsort((first, -counts))
    order = order[names[order] >= 0]
    out = np.full(len(labels), -1, dtype=np.int32)
    for rank, name in enumerate(names[order]):
        out[labels == name] = rank
    return out


def _vectors(embeddings: pl.DataFrame, column: str) -> tuple[pl.DataFrame, NDArray[np.float32]]:
    """Keys of the rows that have a vector, and the vectors."""
    check_columns(embeddings, KEY, column, made_by=MADE_BY)
    rows = embeddings.select(KEY, column).drop_nulls(column)
    if rows.height < 3:
        msg = f"{rows.height} of {embeddings.height} rows have {column}; 3 or more are needed. Embed more faces."
        raise ValueError(msg)
    return rows.select(KEY), to_matrix(rows, column).astype(np.float32, copy=False)


def _back(embeddings: pl.DataFrame, known: pl.DataFrame, columns: dict[str, pl.Series]) -> pl.DataFrame:
    """Give every row its values, null where it had no vector."""
    return embeddings.select(KEY).join(
        known.with_columns(**columns), on=KEY, how="left", validate="1:1", maintain_order="left"
    )


def _xy(points: NDArray[np.float32]) -> dict[str, pl.Series]:
    flat = np.zeros(len(points), dtype=np.float32)
    columns = (points[:, 0], points[:, 1] if points.shape[1] > 1 else flat)
    return {name: pl.Series(values, dtype=pl.Float32) for name, values in zip("xy", columns, strict=True)}


def _kmeans(vectors: NDArray[np.float32], n_clusters: int | None, *, seed: int) -> NDArray[np.int32]:
    from sklearn.cluster import KMeans, MiniBatchKMeans

    if n_clusters is None or not 2 <= n_clusters <= len(vectors):
        msg = f"n_clusters must be between 2 and {len(vectors)} (the faces with a vector), got {n_clusters}"
        raise ValueError(msg)
    if len(vectors) > MINIBATCH_FROM:
        model = MiniBatchKMeans(n_clusters, batch_size=8192, n_init=3, random_state=seed)
    else:
        model = KMeans(n_clusters, n_init=10, random_state=seed)
    return model.fit_predict(vectors)


def _hdbscan(vectors: NDArray[np.float32], min_cluster_size: int) -> NDArray[np.int32]:
    from sklearn.cluster import HDBSCAN

    if not 2 <= min_cluster_size <= len(vectors):
        msg = f"min_cluster_size must be between 2 and {len(vectors)} (the faces with a vector), got {min_cluster_size}"
        raise ValueError(msg)
    return HDBSCAN(min_cluster_size=min_cluster_size, copy=True).fit_predict(vectors)
