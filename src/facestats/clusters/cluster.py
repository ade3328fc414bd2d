"""Stage 07: group faces by their vectors, and lay them out in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from facestats.clusters.kmeans import N_DIMS, cluster_hdbscan, cluster_kmeans, number_by_size, reduce_vectors
from facestats.clusters.layout import LEAST, project_pca, project_umap
from facestats.core.progress import say
from facestats.core.tables import KEY
from facestats.core.vectors import join_to_all_rows, take_vectors

if TYPE_CHECKING:
    from facestats.core.config import Config


def cluster_faces(
    embeddings: pl.DataFrame,
    *,
    n_clusters: int | None = None,
    seed: int = 0,
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
    known, vectors = take_vectors(embeddings, column, least=LEAST)
    points = reduce_vectors(vectors, N_DIMS)
    dense = method == "hdbscan"
    labels = (
        cluster_hdbscan(points, min_cluster_size) if dense else cluster_kmeans(points, n_clusters, seed=seed)
    )
    return join_to_all_rows(embeddings, known, {"cluster": pl.Series(number_by_size(labels), dtype=pl.Int32)})


def map_faces(
    embeddings: pl.DataFrame,
    *,
    n_clusters: int,
    seed: int = 0,
    method: Literal["kmeans", "hdbscan"] = "kmeans",
    min_cluster_size: int = 10,
    n_neighbors: int = 15,
    column: str = "embedding",
) -> pl.DataFrame:
    """Cluster the faces and lay them out twice: the whole table of this stage in one call.

    Made for any collection: what there are too few faces for is lowered, or left empty, with a message.

    Parameters
    ----------
    embeddings, n_clusters, seed, method, min_cluster_size, column
        As in :func:`cluster_faces`; no more clusters than faces are made, and no cluster is larger than all faces.
    n_neighbors
        As in :func:`project_umap`.

    Returns
    -------
    All rows: `image_id`, `cluster` (Int32), `x` and `y` (Float32, UMAP), `pca_x` and `pca_y` (Float32); null where
    there is no vector, and everywhere where there are fewer than 3 faces.
    """
    n = embeddings.height - embeddings[column].null_count()
    if n < LEAST:
        say(
            f"map_faces: {n} faces are too few for clusters and maps, which need {LEAST}; their columns are empty."
        )
        places = [pl.lit(None, dtype=pl.Float32).alias(name) for name in ("x", "y", "pca_x", "pca_y")]
        return embeddings.select(KEY, pl.lit(None, dtype=pl.Int32).alias("cluster"), *places)
    settings = {"n_clusters": n_clusters} if method == "kmeans" else {"min_cluster_size": min_cluster_size}
    for name, value in settings.items():
        if n < value:
            say(f"map_faces: {name} lowered from {value} to {n}, since there are {n} faces.")
            settings[name] = n
    table = cluster_faces(embeddings, seed=seed, method=method, column=column, **settings)
    umap = project_umap(embeddings, seed=seed, n_neighbors=n_neighbors, column=column)
    pca = project_pca(embeddings, column=column).rename({"x": "pca_x", "y": "pca_y"})
    for layout in (umap, pca):
        table = table.join(layout, on=KEY, how="left", validate="1:1", maintain_order="left")
    return table


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.map_faces`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    `method`, `n_clusters`, `min_cluster_size`, `n_neighbors` and `seed`.
    """
    section = cfg.clusters
    return {
        "method": section.method,
        "n_clusters": section.n_clusters,
        "min_cluster_size": section.min_cluster_size,
        "n_neighbors": section.n_neighbors,
        "seed": cfg.seed,
    }
