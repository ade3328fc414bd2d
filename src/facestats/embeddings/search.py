"""Search by vector: rank faces against a text, a face, or a face and words."""

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

BATCH_ROWS = 16_384  # vectors that a search holds at a time


def search_faces(
    embeddings: pl.DataFrame | pl.LazyFrame,
    query: NDArray[np.float32],
    *,
    top: int = 12,
    column: str = "embedding",
) -> pl.DataFrame:
    """Rank faces by cosine similarity to one vector, of a text or of a picture; exact, in fixed memory.

    Parameters
    ----------
    embeddings
        Table of stage 02, or a lazy one (``store.scan("embeddings")``), which is read in batches; rows without
        a vector do not take part. Most of the time goes into decoding Parquet. For many searches over millions,
        keep a copy, ``store.scan("embeddings").sink_ipc(path)``, and search the file itself, mapped into memory:
        ``pl.from_arrow(pyarrow.ipc.open_file(pyarrow.memory_map(path)).read_all())``.
    query
        One vector, (dim,), of the encoder that made `embeddings`; any length but zero. See :func:`facestats.embeddings.query_vector`.
    top
        Rows to return at most.
    column
        ``embedding`` or ``embedding_full``.

    Returns
    -------
    `image_id` and `similarity` (Float32, -1 to 1), the best first; ties keep the order of `embeddings`.

    Raises
    ------
    ValueError
        If `query` is not one finite vector of the same dimension.
    """
    shape = to_matrix(_no_rows(embeddings, column), column).shape[1:]
    vector = np.asarray(query, dtype=np.float32)
    if vector.shape != shape:
        msg = (
            f"query has shape {vector.shape}, expected {shape}: one vector of the encoder that made {column}, such as"
            " clip.encode_texts(['a person laughing'])[0]"
        )
        raise ValueError(msg)
    norm = np.linalg.norm(vector)
    if not np.isfinite(norm) or norm == 0:
        msg = f"query has length {norm}; a direction needs a finite length above 0"
        raise ValueError(msg)
    if top < 1:
        msg = f"top is a number of rows from 1 on, got {top}"
        raise ValueError(msg)
    best = pl.DataFrame(schema={KEY: pl.String, "similarity": pl.Float32})
    rows = embeddings.lazy().select(KEY, column).drop_nulls(column)
    for batch in rows.collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
        similarity = pl.Series(to_matrix(batch, column) @ (vector / norm), dtype=pl.Float32)
        found = batch.select(KEY, similarity=similarity)
        if best.height == top:  # a later row must beat the worst one to get in
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
    """Compose what to search for from faces and words: this face, but older.

    The query is the direction of the faces `like`, plus `strength` times the direction from the texts `minus` to
    the texts `plus` (vector arithmetic, Mikolov et al. 2013). Give both: what they share, above all that they are
    texts and no pictures, then cancels.

    Parameters
    ----------
    embeddings
        Table of stage 02, lazy or not.
    like
        `image_id` of faces; none for a search by words alone.
    plus, minus
        Texts, such as ``["an old person"]`` and ``["a young person"]``.
    encoder
        The CLIP that made `embeddings`; needed for texts.
    strength
        Weight of the words against the faces.
    column
        ``embedding`` or ``embedding_full``.

    Returns
    -------
    Unit vector, (dim,) float32, for :func:`search_faces`.

    Raises
    ------
    ValueError
        If a face has no vector, there are texts without an encoder, or nothing is asked for.
    """
    if not (like or plus or minus):
        msg = "nothing is asked for: name faces (like) or texts (plus, minus)"
        raise ValueError(msg)
    _no_rows(embeddings, column)
    if (plus or minus) and encoder is None:
        msg = "plus and minus are texts, which need the encoder of these embeddings: encoder=fs.models.clip(cfg.embeddings)"
        raise ValueError(msg)
    found = embeddings.lazy().filter(pl.col(KEY).is_in(list(like))).select(KEY, column).collect()
    found = found.drop_nulls(column)
    if absent := sorted(set(like) - set(found[KEY])):
        msg = f"no {column} for {absent[:5]}: take image_id of rows that have one"
        raise ValueError(msg)
    faces = to_matrix(found, column)
    words = np.zeros(faces.shape[1], dtype=np.float32)
    for texts, sign in ((plus, 1), (minus, -1)):
        if encoder is not None and texts:
            words += sign * _direction(encoder.encode_texts(list(texts)))
    return _direction(_direction(faces)[None] + strength * _direction(words[None])[None])


def _direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vector of the mean of some vectors; zero if there are none, or if they cancel."""
    total = vectors.sum(axis=0, dtype=np.float32)
    norm = np.linalg.norm(total)
    return total / norm if norm > 1e-6 else np.zeros_like(total)


def _no_rows(embeddings: pl.DataFrame | pl.LazyFrame, column: str) -> pl.DataFrame:
    """Head of the table without rows, after a check of its columns."""
    empty = embeddings.lazy().head(0).collect()
    check_columns(empty, KEY, column, made_by="fs.embed_faces (notebooks/02_embeddings.ipynb)")
    return empty
