"""Stage 07: cluster the faces by their vectors, and lay them out in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from facestats.clusters.algorithms import cluster_hdbscan, cluster_kmeans, number_by_size
from facestats.clusters.layout import MIN_FACES, project_pca, project_umap
from facestats.clusters.members import near_duplicates
from facestats.clusters.principal_components import N_DIMS, reduce_vectors
from facestats.core.display import count_of
from facestats.core.progress import say
from facestats.core.tables import KEY
from facestats.core.vectors import join_to_all_rows, take_vectors

if TYPE_CHECKING:
    from facestats.core.config import Config

MAX_CLUSTERS = 12  # of the default number; more do not fit one legend


def cluster_faces(
    embeddings: pl.DataFrame,
    *,
    n_clusters: int | None = None,
    seed: int = 0,
    method: Literal["kmeans", "hdbscan"] = "kmeans",
    min_cluster_size: int = 10,
    column: str = "embedding",
) -> pl.DataFrame:
    """Cluster the faces on the first 50 principal components of their vectors.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`; rows without a vector get no cluster.
    n_clusters
        Number of clusters for `kmeans`, from 2 to the number of faces.
    seed
        Fixes the starting points of `kmeans`; `hdbscan` is deterministic.
    method
        `kmeans` assigns every face to a cluster (by mini-batches above 50,000 faces). `hdbscan` finds dense groups and
        their number, and treats the other faces as noise (Campello, Moulavi & Sander 2013).
    min_cluster_size
        Number of faces from which on `hdbscan` treats a dense group as a cluster.
    column
        Which vector: `embedding` (face) or `embedding_full` (whole picture).

    Returns
    -------
    All rows: `image_id` and `cluster` (Int32; 0 is the largest cluster, -1 is noise of `hdbscan`, null without a vector).

    Raises
    ------
    ValueError
        If `n_clusters` or `min_cluster_size` does not suit the number of faces, or fewer than 3 faces have a vector.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> clusters = fs.cluster_faces(project.embeddings, n_clusters=3)
    >>> clusters["cluster"].value_counts().sort("cluster").rows()
    [(0, 6), (1, 5), (2, 1)]
    """
    if method not in ("kmeans", "hdbscan"):
        msg = f"method must be 'kmeans' or 'hdbscan', got {method!r}"
        raise ValueError(msg)
    known, vectors = take_vectors(embeddings, column, least=MIN_FACES)
    points = reduce_vectors(vectors, N_DIMS)
    if method == "hdbscan":
        labels = cluster_hdbscan(points, min_cluster_size)
    else:
        labels = cluster_kmeans(points, n_clusters, seed=seed)
    return join_to_all_rows(embeddings, known, {"cluster": pl.Series(number_by_size(labels), dtype=pl.Int32)})


def map_faces(
    embeddings: pl.DataFrame,
    *,
    n_clusters: int | None = None,
    seed: int = 0,
    method: Literal["kmeans", "hdbscan"] = "kmeans",
    min_cluster_size: int = 10,
    n_neighbors: int = 15,
    min_faces: int = 8,
    column: str = "embedding",
) -> pl.DataFrame:
    """Cluster the faces and lay them out twice: the whole table of this stage in one call.

    Of near-duplicates (:func:`facestats.clusters.near_duplicates`) one is clustered, and the others get its cluster.
    It works for a collection of any size: if there are too few faces for a setting, the setting is lowered, and a
    message says so. Like :func:`project_umap`, it turns on numba's cache for the functions of UMAP in this process.

    Parameters
    ----------
    embeddings, n_clusters, seed, method, min_cluster_size, column
        As in :func:`cluster_faces`; `n_clusters` and `min_cluster_size` are lowered to the number of different
        faces. Without `n_clusters`, there is one cluster for each ``2 * min_faces`` different faces, from 2 to 12: most
        clusters are then large enough to be averaged, though not all are of one size.
    n_neighbors
        As in :func:`project_umap`.
    min_faces
        Smallest group that is averaged (``cfg.composites.min_faces``), for the default of `n_clusters`.

    Returns
    -------
    All rows: `image_id`, `cluster` (Int32), `x` and `y` (Float32, UMAP), `pca_x` and `pca_y` (Float32, principal
    components). They are null in rows without a vector, and in all rows if there are fewer than 3 different faces.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> import facestats as fs
    >>> vectors = pl.Series(np.eye(12, dtype=np.float32), dtype=pl.Array(pl.Float32, 12))
    >>> faces = pl.DataFrame({"image_id": [f"{i}.png" for i in range(12)], "embedding": vectors})
    >>> table = fs.map_faces(faces, n_clusters=3, n_neighbors=5)
    >>> table.columns
    ['image_id', 'cluster', 'x', 'y', 'pca_x', 'pca_y']
    """
    once, twins = _split_repeats(embeddings, column)
    n, once_each = once.height, " (near-duplicates count once)" if twins.height else ""
    if n < MIN_FACES:
        say(
            f"map_faces: {count_of(n, 'face is', 'faces are')} too few for clusters and maps, which need {MIN_FACES}"
            f"{once_each}; their columns are empty."
        )
        no_layout = [pl.lit(None, dtype=pl.Float32).alias(name) for name in ("x", "y", "pca_x", "pca_y")]
        return embeddings.select(KEY, pl.lit(None, dtype=pl.Int32).alias("cluster"), *no_layout)
    wanted = n_clusters or max(2, min(MAX_CLUSTERS, n // (2 * min_faces)))
    limits = {"n_clusters": wanted} if method == "kmeans" else {"min_cluster_size": min_cluster_size}
    for name, value in limits.items():
        if n < value:
            say(f"map_faces: {name} lowered from {value} to {n}, since there are {n} faces{once_each}.")
            limits[name] = n
    found = cluster_faces(once, seed=seed, method=method, column=column, **limits)
    repeated = twins.join(found.rename({KEY: "duplicate_of"}), on="duplicate_of", how="left", validate="m:1")
    clusters = pl.concat([found, repeated.select(found.columns)])
    clusters = clusters.with_columns(cluster=pl.Series(number_by_size(clusters["cluster"].to_numpy())))
    umap = project_umap(embeddings, seed=seed, n_neighbors=n_neighbors, column=column)
    pca = project_pca(embeddings, column=column).rename({"x": "pca_x", "y": "pca_y"})
    table = embeddings.select(KEY)
    for part in (clusters, umap, pca):
        table = table.join(part, on=KEY, how="left", validate="1:1", maintain_order="left")
    return table


def _split_repeats(embeddings: pl.DataFrame, column: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split the rows with a vector: each picture once, and a table of its near-duplicates."""
    known = embeddings.drop_nulls(column)
    compared = "embedding_full" if "embedding_full" in embeddings.columns else column
    twins = near_duplicates(embeddings, column=compared).drop_nulls()
    twins = twins.join(known, on=KEY, how="semi").join(
        known, left_on="duplicate_of", right_on=KEY, how="semi"
    )
    return known.join(twins, on=KEY, how="anti", maintain_order="left"), twins


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.map_faces`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    `method`, `n_clusters`, `min_cluster_size`, `n_neighbors` and `seed`; also `min_faces`, if `n_clusters` is not set.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> cfg = Config(attributes=fs.testing.example_project().attributes)
    >>> list(fs.clusters.settings(cfg))
    ['method', 'n_clusters', 'min_cluster_size', 'n_neighbors', 'seed', 'min_faces']
    """
    section = cfg.clusters
    return {
        "method": section.method,
        "n_clusters": section.n_clusters,
        "min_cluster_size": section.min_cluster_size,
        "n_neighbors": section.n_neighbors,
        "seed": cfg.seed,
        **({"min_faces": cfg.composites.min_faces} if section.n_clusters is None else {}),
    }
