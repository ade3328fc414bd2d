"""Who is in a cluster, from the most typical face to the outliers, and which pictures are there twice."""

from __future__ import annotations

import numpy as np
import polars as pl

from facestats.clusters.kmeans import N_DIMS, reduce_vectors
from facestats.core.progress import say
from facestats.core.tables import KEY
from facestats.core.vectors import first_near_duplicate, join_to_all_rows, take_vectors


def members(embeddings: pl.DataFrame, clusters: pl.DataFrame, *, column: str = "embedding") -> pl.DataFrame:
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
    known, vectors = take_vectors(embeddings, column)
    found = known.join(
        clusters.select(KEY, "cluster"), on=KEY, how="left", validate="1:1", maintain_order="left"
    )
    labels = found["cluster"].fill_null(-1).to_numpy()
    points = reduce_vectors(vectors, N_DIMS) if len(vectors) else vectors
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


def near_duplicates(
    embeddings: pl.DataFrame,
    *,
    min_cosine: float = 0.98,
    column: str = "embedding_full",
    max_rows: int | None = 50_000,
) -> pl.DataFrame:
    """Find pictures that are nearly the same, so that statistics can count them once.

    Exact: every pair is compared, in blocks, which costs one matrix product: about 25 seconds for 50,000 pictures on 2
    cores, and four times that for twice as many.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`, of unit vectors.
    min_cosine
        Cosine similarity from which on two pictures count as the same; depends on the model, so look at some.
    column
        Which vector: `embedding` or `embedding_full`.
    max_rows
        More pictures are not compared, and it is said; None compares any number.

    Returns
    -------
    All rows: `image_id` and `duplicate_of` (String: the first picture of the group that this one repeats; null
    for first and single pictures, so ``duplicate_of.is_null()`` keeps each once).
    """
    known, vectors = take_vectors(embeddings, column)
    n = len(vectors)
    if max_rows is not None and n > max_rows:
        say(
            f"clusters.near_duplicates: {n:,} pictures are more than max_rows={max_rows:,}, so all count as different."
        )
        return embeddings.select(KEY, duplicate_of=pl.lit(None, dtype=pl.String))
    first = first_near_duplicate(vectors, min_cosine)
    repeats = pl.Series(first != np.arange(n), dtype=pl.Boolean)
    names = pl.select(pl.when(repeats).then(known[KEY].gather(first))).to_series()
    return join_to_all_rows(embeddings, known, {"duplicate_of": names.cast(pl.String)})
