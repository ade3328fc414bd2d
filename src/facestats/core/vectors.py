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
    """For each vector, return the index of the first member of its near-duplicate group.

    Vectors whose cosine is `min_cosine` or more are linked; a group is a connected component of these links.
    """
    n, wide = len(vectors), 8 * PAIR_BLOCK
    pairs = np.zeros((0, 2), dtype=np.int64)
    for start in range(0, n, PAIR_BLOCK):
        for right in range(start, n, wide):
            cosines = vectors[start : start + PAIR_BLOCK] @ vectors[right : right + wide].T
            near = np.divmod(np.flatnonzero(cosines >= min_cosine), cosines.shape[1])
            pairs = np.concatenate([pairs, np.column_stack(near) + np.array([start, right])])
            if len(pairs) > 4 * n:  # keep one link per vector: the pairs of many near-duplicates fill memory
                first = _first_linked(pairs, n)
                pairs = np.column_stack([np.arange(n), first])[first != np.arange(n)]
    return _first_linked(pairs, n)


def _first_linked(pairs: NDArray[np.int64], n: int) -> NDArray[np.intp]:
    """For each of `n` nodes, return the index of the first node in its connected component."""
    if n == 0:
        return np.zeros(0, dtype=np.intp)
    groups = number_components(pairs[:, 0], pairs[:, 1], n)
    return np.unique(groups, return_index=True)[1][groups]


def number_components(first: NDArray[np.integer], second: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """Number the connected components of `n` nodes; the edges link `first` to `second`. Returns (n,) int64."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(n, n))
    return connected_components(graph, directed=False)[1].astype(np.int64)
