"""Members of clusters, from the most typical face to the outliers, and near-duplicate pictures."""

from __future__ import annotations

import numpy as np
import polars as pl

from facestats.clusters.principal_components import N_DIMS, reduce_vectors
from facestats.core.progress import say
from facestats.core.tables import KEY
from facestats.core.vectors import first_near_duplicate, join_to_all_rows, take_vectors


def members(embeddings: pl.DataFrame, clusters: pl.DataFrame, *, column: str = "embedding") -> pl.DataFrame:
    """Rank the faces of each cluster from the most typical face to the outliers.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    clusters
        From :func:`cluster_faces`, for the same rows.
    column
        Vector that the clusters were computed from: `embedding` or `embedding_full`.

    Returns
    -------
    One row per face that has a cluster (noise is left out), sorted by cluster and distance: `image_id`, `cluster`
    (Int32), `distance` (Float32, to the centre of the cluster), `rank` (Int32, 0 is the most typical face) and `outlier`
    (Boolean, more than 1.5 interquartile ranges above the third quartile of the distances, Tukey 1977).

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> members = fs.clusters.members(project.embeddings, project.clusters)
    >>> members.columns
    ['image_id', 'cluster', 'distance', 'rank', 'outlier']
    >>> members.filter(rank=0).height
    3
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
        distance[inside] = np.linalg.norm(points[inside] - points[inside].mean(axis=0), axis=1)
    distances = pl.col("distance")
    fence = distances.quantile(0.75) + 1.5 * (distances.quantile(0.75) - distances.quantile(0.25))
    return (
        found.with_columns(distance=pl.Series(distance))
        .filter(pl.col("cluster") >= 0)
        .sort("cluster", "distance", KEY)
        .with_columns(
            rank=pl.int_range(pl.len(), dtype=pl.Int32).over("cluster"),
            outlier=(distances > fence).over("cluster"),
        )
    )


def near_duplicates(
    embeddings: pl.DataFrame,
    *,
    min_cosine: float = 0.98,
    column: str = "embedding_full",
    max_rows: int | None = 50_000,
) -> pl.DataFrame:
    """Find near-duplicate pictures, so that statistics can count them once.

    Every pair is compared, in blocks of a matrix product: about 25 seconds for 50,000 pictures on 2 cores, and four
    times as long for twice as many.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column` of unit vectors.
    min_cosine
        Pictures of this cosine similarity or more are linked, -1 to 1; linked pictures form a group. The suitable value
        depends on the model, so look at some pairs.
    column
        Which vector: `embedding` (face) or `embedding_full` (whole picture).
    max_rows
        If there are more pictures, they are not compared, and a message says so; None compares any number.

    Returns
    -------
    All rows: `image_id` and `duplicate_of` (String, the picture that stands for the group: its first with a vector in
    `embedding`, or the first if none has one). It is null for this picture and for pictures without a near-duplicate, so
    that the rows without a value hold each picture once, with a face if any of its copies has one.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> vectors = pl.Series([[1, 0], [0, 1], [1, 0]], dtype=pl.Array(pl.Float32, 2))
    >>> table = pl.DataFrame({"image_id": ["a.png", "b.png", "c.png"], "embedding_full": vectors})
    >>> fs.clusters.near_duplicates(table)["duplicate_of"].to_list()
    [None, None, 'a.png']
    """
    known, vectors = take_vectors(embeddings, column)
    n = len(vectors)
    if max_rows is not None and n > max_rows:
        say(
            f"clusters.near_duplicates: {n:,} pictures are more than max_rows={max_rows:,}, so none are compared and all"
            " count as different. Set max_rows=None to compare them."
        )
        return embeddings.select(KEY, duplicate_of=pl.lit(None, dtype=pl.String))
    group = pl.Series(first_near_duplicate(vectors, min_cosine))
    faces = embeddings.drop_nulls("embedding")[KEY] if "embedding" in embeddings.columns else known[KEY]
    rows = known.with_columns(group=group, has_face=pl.col(KEY).is_in(faces.implode()))
    stands = pl.col(KEY).sort_by("has_face", descending=True, maintain_order=True).first().over("group")
    names = rows.select(pl.when(stands != pl.col(KEY)).then(stands)).to_series()
    return join_to_all_rows(embeddings, known, {"duplicate_of": names})
