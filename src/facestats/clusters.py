"""Stage 07: group faces by their vectors, and lay them out in two dimensions."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from facestats.core.progress import say
from facestats.core.tables import KEY, check_columns, to_matrix
from facestats.core.vectors import (
    find_centres,
    find_dense,
    first_of_kind,
    number_by_size,
    reduce_vectors,
    resample_centres,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

N_DIMS = 50  # principal components that clusters and layouts see
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
    if method not in ("kmeans", "hdbscan"):
        msg = f"method must be 'kmeans' or 'hdbscan', got {method!r}"
        raise ValueError(msg)
    known, vectors = _vectors(embeddings, column)
    points = reduce_vectors(vectors, N_DIMS)
    dense = method == "hdbscan"
    labels = find_dense(points, min_cluster_size) if dense else find_centres(points, n_clusters, seed=seed)
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
    embeddings, n_clusters, seed, column
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
    embeddings, column
        As in :func:`project_umap`.

    Returns
    -------
    All rows: `image_id`, `x` and `y` (Float32; null where there is no vector).
    """
    known, vectors = _vectors(embeddings, column)
    return _back(embeddings, known, _xy(reduce_vectors(vectors, 2)))


def cluster_stability(
    embeddings: pl.DataFrame,
    *,
    n_clusters: Sequence[int],
    n_resamples: int = 20,
    seed: int,
    column: str = "embedding",
) -> pl.DataFrame:
    """Ask which number of clusters comes back when the faces are drawn anew.

    Each resample draws as many faces with replacement (20,000 at most) and starts k-means elsewhere; its
    clusters are compared with those of all faces by the adjusted Rand index on the faces drawn (Hennig 2007; Hubert &
    Arabie 1985): 1 is the same grouping, 0 is what chance gives for any number.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    n_clusters
        Numbers to try.
    n_resamples
        Resamples per number.
    seed
        Decides resamples and starts.
    column
        Which vector: `embedding` or `embedding_full`.

    Returns
    -------
    One row per number: `n_clusters`, `ari` (mean), `ari_low` and `ari_high` (5th and 95th percentile),
    `smallest` (faces in the smallest cluster) and `chosen` (Boolean: the largest number whose mean lies
    within one standard error of the best).
    """
    points = reduce_vectors(_vectors(embeddings, column)[1], N_DIMS)
    rows, errors = [], []
    for k in sorted(set(n_clusters)):
        reference = find_centres(points, k, seed=seed)
        scores = resample_centres(points, reference, n_resamples=n_resamples, seed=seed)
        low, high = np.quantile(scores, [0.05, 0.95])
        rows.append((k, np.mean(scores), low, high, int(np.bincount(reference).min())))
        errors.append(np.std(scores) / np.sqrt(n_resamples))
    frame = pl.DataFrame(rows, schema=["n_clusters", "ari", "ari_low", "ari_high", "smallest"], orient="row")
    best = int(np.argmax(frame["ari"].to_numpy()))
    good = frame.filter(pl.col("ari") >= frame["ari"][best] - errors[best])["n_clusters"].max()
    return frame.with_columns(pl.col("n_clusters").cast(pl.Int32), chosen=pl.col("n_clusters") == good)


def cluster_members(
    embeddings: pl.DataFrame, clusters: pl.DataFrame, *, column: str = "embedding"
) -> pl.DataFrame:
    """Rank the faces of each cluster from its most typical one to its outliers.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    clusters
        From :func:`cluster_faces`, for the same rows.
    column
        Which vector the clusters were made from.

    Returns
    -------
    The faces with a cluster (noise left out), cluster by cluster, the most typical first: `image_id`,
    `cluster` (Int32), `distance` (Float32, to the centre of the cluster), `rank` (Int32, 0 is the exemplar) and
    `outlier` (Boolean: beyond the third quartile by 1.5 interquartile ranges, Tukey 1977).
    """
    known, vectors = _vectors(embeddings, column)
    found = known.join(
        clusters.select(KEY, "cluster"), on=KEY, how="left", validate="1:1", maintain_order="left"
    )
    labels = found["cluster"].fill_null(-1).to_numpy()
    points = reduce_vectors(vectors, N_DIMS)
    distance = np.zeros(len(points), dtype=np.float32)
    for cluster in np.unique(labels[labels >= 0]):
        inside = labels == cluster
        members = points[inside]
        distance[inside] = np.linalg.norm(members - members.mean(axis=0), axis=1)
    within = pl.col("distance")
    upper = within.quantile(0.75) + 1.5 * (within.quantile(0.75) - within.quantile(0.25))
    return (
        found.with_columns(distance=pl.Series(distance))
        .filter(pl.col("cluster") >= 0)
        .sort("cluster", "distance", KEY)
        .with_columns(
            rank=pl.int_range(pl.len(), dtype=pl.Int32).over("cluster"),
            outlier=(within > upper).over("cluster"),
        )
    )


def find_near_duplicates(
    embeddings: pl.DataFrame, *, min_cosine: float = 0.98, column: str = "embedding_full"
) -> pl.DataFrame:
    """Find pictures that are nearly the same, so that statistics can count them once.

    Exact: every pair is compared, in blocks; 20,000 pictures take about 20 seconds, twice as many four times that.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`, of unit vectors.
    min_cosine
        Cosine similarity from which on two pictures count as the same; depends on the model, so look at some.
    column
        Which vector: `embedding` or `embedding_full`.

    Returns
    -------
    All rows: `image_id` and `duplicate_of` (String: the first picture of the group that this one repeats; null
    for first and single pictures, so ``duplicate_of.is_null()`` keeps each once).
    """
    known, vectors = _vectors(embeddings, column)
    first = first_of_kind(vectors, min_cosine)
    repeats = pl.Series(first != np.arange(len(first)))
    return _back(
        embeddings,
        known,
        {"duplicate_of": pl.select(pl.when(repeats).then(known[KEY].gather(first))).to_series()},
    )


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
