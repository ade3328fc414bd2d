"""Search by vector: rank faces by their similarity to a text, to other faces, or to both together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.tables import KEY, check_columns
from facestats.core.vectors import to_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facestats.core.protocols import Encoder

BATCH_ROWS = 16_384  # vectors that a search holds in memory at a time


def search_faces(
    embeddings: pl.DataFrame | pl.LazyFrame,
    query: NDArray[np.float32],
    *,
    top: int = 12,
    column: str = "embedding",
) -> pl.DataFrame:
    """Rank faces by their cosine similarity to one vector of a text or a picture.

    The search is exact, and its memory does not grow with the table.

    Parameters
    ----------
    embeddings
        Table of stage 02, or a lazy one (``store.scan("embeddings")``), which is read in batches. Rows without a
        vector are left out. Most of the time of a lazy search is spent on decoding Parquet. For many searches over
        millions of faces, write a copy once with ``store.scan("embeddings").sink_ipc(path)`` and search that file
        memory-mapped: ``pl.from_arrow(pyarrow.ipc.open_file(pyarrow.memory_map(path)).read_all())``.
    query
        One vector, (dim,), from the encoder that made `embeddings`, of any length above 0. See
        :func:`facestats.embeddings.query_vector`.
    top
        Largest number of rows to return.
    column
        ``embedding`` (the aligned face) or ``embedding_full`` (the whole picture).

    Returns
    -------
    `image_id` (String) and `similarity` (Float32, -1 to 1), the most similar face first. Equal similarities keep the
    order of `embeddings`.

    Raises
    ------
    TableError
        If `embeddings` lacks `column`.
    ValueError
        If `query` is not one finite vector of the same dimension, or `top` is below 1.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> query = project.embeddings["embedding"].to_numpy()[4]
    >>> found = fs.search_faces(project.embeddings, query, top=3)
    >>> found.columns
    ['image_id', 'similarity']
    >>> found["image_id"][0], round(found["similarity"][0], 3)
    ('face_004.png', 1.0)
    """
    shape = to_matrix(_empty_table(embeddings, column), column).shape[1:]
    if isinstance(query, str):
        msg = f"query is a vector, got the text {query!r}. Encode it first: clip.encode_texts([{query!r}])[0]"
        raise ValueError(msg)
    vector = np.asarray(query, dtype=np.float32)
    if vector.shape != shape:
        msg = (
            f"query has shape {vector.shape}, expected {shape}. Give one vector of the encoder that made {column},"
            " such as clip.encode_texts(['a person laughing'])[0]."
        )
        raise ValueError(msg)
    norm = np.linalg.norm(vector)
    if not np.isfinite(norm) or norm == 0:
        msg = f"query has length {norm}; it must be finite and above 0"
        raise ValueError(msg)
    if top < 1:
        msg = f"top must be 1 or more, got {top}"
        raise ValueError(msg)
    best = pl.DataFrame(schema={KEY: pl.String, "similarity": pl.Float32})
    rows = embeddings.lazy().select(KEY, column).drop_nulls(column)
    for batch in rows.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
        similarity = pl.Series(to_matrix(batch, column) @ (vector / norm), dtype=pl.Float32)
        found = batch.select(KEY, similarity=similarity)
        if best.height == top:  # only a row that beats the worst hit so far can enter
            found = found.filter(pl.col("similarity") > best["similarity"][-1])
        best = pl.concat([best, found])
        best = best.sort("similarity", descending=True, maintain_order=True).head(top)
    return best


def query_vector(
    embeddings: pl.DataFrame | pl.LazyFrame,
    *,
    like: Sequence[str] = (),
    plus: Sequence[str] = (),
    minus: Sequence[str] = (),
    encoder: Encoder | None = None,
    strength: float = 1.0,
    column: str = "embedding",
) -> NDArray[np.float32]:
    """Compose a query from faces and words, such as "this face, but older".

    The query is the mean direction of the faces `like`, plus `strength` times the direction from the texts `minus`
    to the texts `plus` (vector arithmetic; Mikolov et al. 2013). Give both `plus` and `minus`: what they share then
    cancels, above all that they are texts and not pictures.

    Parameters
    ----------
    embeddings
        Table of stage 02, lazy or not.
    like
        `image_id` of faces; empty for a search by words alone.
    plus, minus
        Texts, such as ``["an old person"]`` and ``["a young person"]``.
    encoder
        The CLIP handle that made `embeddings`; required for texts.
    strength
        Weight of the words relative to the faces.
    column
        ``embedding`` (the aligned face) or ``embedding_full`` (the whole picture).

    Returns
    -------
    Unit vector, (dim,) float32, for :func:`facestats.search_faces`.

    Raises
    ------
    TableError
        If `embeddings` lacks `column`.
    ValueError
        If a face has no vector, if there are texts but no encoder, or if neither faces nor texts are given.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> query = fs.embeddings.query_vector(
    ...     project.embeddings, like=["face_000.png"], plus=["elderly"], minus=["child"], encoder=project.encoder
    ... )
    >>> query.shape
    (8,)
    """
    if not (like or plus or minus):
        msg = (
            "there is nothing to search for. Give faces (like=[image_id]) or texts (plus=[...], minus=[...])."
        )
        raise ValueError(msg)
    _empty_table(embeddings, column)
    if (plus or minus) and encoder is None:
        msg = (
            "plus and minus are texts, and no encoder was given to encode them. Pass the one that made these"
            " embeddings: encoder=fs.models.clip(cfg.embeddings)."
        )
        raise ValueError(msg)
    found = embeddings.lazy().filter(pl.col(KEY).is_in(list(like))).select(KEY, column).collect()
    found = found.drop_nulls(column)
    if absent := sorted(set(like) - set(found[KEY])):
        msg = f"there is no {column} for {absent[:5]}. Choose image_id values of rows that have one."
        raise ValueError(msg)
    faces = to_matrix(found, column)
    words = np.zeros(faces.shape[1], dtype=np.float32)
    for texts, sign in ((plus, 1), (minus, -1)):
        if encoder is not None and texts:
            words += sign * _direction(encoder.encode_texts(list(texts)))
    return _direction(_direction(faces)[None] + strength * _direction(words[None])[None])


def _direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vector along the mean of some vectors; zero if there are none, or if they cancel out."""
    total = vectors.sum(axis=0, dtype=np.float32)
    norm = np.linalg.norm(total)
    return total / norm if norm > 1e-6 else np.zeros_like(total)


def _empty_table(embeddings: pl.DataFrame | pl.LazyFrame, column: str) -> pl.DataFrame:
    """Check the columns of a table, and return it without its rows."""
    empty = embeddings.lazy().head(0).collect()
    check_columns(empty, KEY, column, made_by="fs.embed_faces (notebooks/02_embeddings.ipynb)")
    return empty
