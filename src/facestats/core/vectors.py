"""Vectors of faces: read them from a table, join results back to its rows, find near-duplicates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.core.tables import KEY, TableError, check_columns

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

PAIR_BLOCK = 1024


def to_matrix(df: pl.DataFrame, column: str = "embedding") -> NDArray[np.float32]:
    """View an Array column without nulls as an (n, dim) array that is read-only and not copied.

    Raises
    ------
    TableError
        If the column is missing, or holds NaN or nulls: rows without a face have no vector.
    """
    check_columns(df, column, made_by="fs.embed_faces (notebooks/02_embeddings.ipynb)")
    if n := df[column].null_count():
        msg = f"{n} of {df.height} rows have no {column}. Drop these rows: df.drop_nulls({column!r})."
        raise TableError(msg)
    matrix = df[column].to_numpy()
    finite = np.isfinite(matrix.sum(axis=-1))
    if not finite.all():
        msg = (
            f"{int((~finite).sum())} of {df.height} vectors in {column} are not finite, such as that of row"
            f" {int(finite.argmin())}. Make them again with fs.embed_faces (notebooks/02_embeddings.ipynb)."
        )
        raise TableError(msg)
    return matrix


def take_vectors(
    embeddings: pl.DataFrame, column: str, *, least: int = 0
) -> tuple[pl.DataFrame, NDArray[np.float32]]:
    """Return the keys of the rows that have a vector, and the vectors, (n, dim) float32.

    Raises
    ------
    ValueError
        If fewer than `least` rows have a vector.
    """
    check_columns(embeddings, KEY, column, made_by="fs.embed_faces (notebooks/02_embeddings.ipynb)")
    rows = embeddings.select(KEY, column).drop_nulls(column)
    if rows.height < least:
        msg = f"{rows.height} of {embeddings.height} rows have {column}; {least} or more are needed. Embed more faces."
        raise ValueError(msg)
    return rows.select(KEY), to_matrix(rows, column).astype(np.float32, copy=False)


def join_to_all_rows(
    embeddings: pl.DataFrame, known: pl.DataFrame, columns: dict[str, pl.Series]
) -> pl.DataFrame:
    """Join `columns`, computed for the keys in `known`, to all rows of `embeddings`; other rows get null."""
    return embeddings.select(KEY).join(
        known.with_columns(**columns), on=KEY, how="left", validate="1:1", maintain_order="left"
    )


def first_near_duplicate(vectors: NDArray[np.float32], min_cosine: float) -> NDArray[np.intp]:
    """For each vector, return the index of the vector that stands for its group of near-duplicates.

    The vectors are taken in their order. Each joins the nearest of those that stand for a group, if their cosine is
    `min_cosine` or more; otherwise it stands for a group of its own (leader algorithm, Hartigan 1975, chapter 3). So the
    members of a group are never far apart: a slow change over many frames does not join its two ends.
    """
    n, wide = len(vectors), 8 * PAIR_BLOCK
    first = np.arange(n)
    leaders = np.zeros(0, dtype=np.intp)
    for start in range(0, n, PAIR_BLOCK):
        block = vectors[start : start + PAIR_BLOCK]
        best, nearest = np.full(len(block), -np.inf), np.zeros(len(block), dtype=np.intp)
        for left in range(0, len(leaders), wide):
            cosines = block @ vectors[leaders[left : left + wide]].T
            place = cosines.argmax(axis=1)
            value = cosines[np.arange(len(block)), place]
            nearest = np.where(value > best, leaders[left : left + wide][place], nearest)
            best = np.maximum(value, best)
        own = block @ block.T
        near_earlier = np.tril(own >= min_cosine, -1)
        stands = best < min_cosine
        for i in np.flatnonzero(near_earlier.any(axis=1)):  # only these may join a vector of the same block
            earlier = np.flatnonzero(near_earlier[i] & stands)
            if len(earlier) and (value := own[i, earlier].max()) > best[i]:
                best[i], nearest[i] = value, start + earlier[own[i, earlier].argmax()]
                stands[i] = False
        first[start : start + len(block)] = np.where(stands, start + np.arange(len(block)), nearest)
        leaders = np.concatenate([leaders, start + np.flatnonzero(stands)])
    return first


def number_components(first: NDArray[np.integer], second: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """Number the connected components of `n` nodes; the edges link `first` to `second`. Returns (n,) int64."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)
