"""Describe a call of a function by everything that its result depends on."""

from __future__ import annotations

import hashlib
import inspect
import json
from io import BytesIO
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.tables import FINGERPRINT
from facestats.store.fingerprint import describe_stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HASHED_AT_ONCE = 20_000  # rows of a lazy frame that are in memory while they are hashed


def call_key(func: Callable[..., Any], args: Sequence[Any], params: Mapping[str, Any]) -> str:
    """Hash a call to 32 hexadecimal digits: the function, the version of its code, and each argument.

    Arguments count as they do for a stage, and a default counts like a given value. A frame counts with its rows,
    their order and its types, because the result of a random choice depends on all of them.
    """
    if not (inspect.isfunction(func) or inspect.isclass(func)) or getattr(func, "__closure__", None):
        msg = f"only the results of plain functions can be kept, and {func!r} is none. Give its values as parameters."
        raise TypeError(msg)
    bound = inspect.signature(func).bind(*args, **params)
    bound.apply_defaults()
    given: dict[str, Any] = {}
    for name, parameter in inspect.signature(func).parameters.items():
        value = bound.arguments[name]
        given |= value if parameter.kind is parameter.VAR_KEYWORD else {name: value}
    stage = describe_stage(func, {name: _with_digests(value) for name, value in given.items()})
    return hashlib.blake2b(json.dumps(stage).encode(), digest_size=16).hexdigest()


def _with_digests(value: Any) -> Any:
    """Replace frames and series by their hashes, also inside lists and dictionaries, whose keys count with their types."""
    if isinstance(value, pl.Series):
        return [value.name, _digest(value.to_frame("values"))]
    if isinstance(value, (pl.DataFrame, pl.LazyFrame)):
        return _digest(value)
    if isinstance(value, (list, tuple)):
        return [str(v) if isinstance(v, PurePath) else _with_digests(v) for v in value]
    if isinstance(value, dict):
        return [[type(k).__name__, str(k), _with_digests(v)] for k, v in value.items()]
    return value


def _digest(frame: pl.DataFrame | pl.LazyFrame) -> str:
    # Parquet holds no value behind a null and nothing of other rows, so equal frames give equal bytes
    frame = frame.drop(FINGERPRINT, strict=False)
    digest = hashlib.blake2b(repr(frame.collect_schema()).encode(), digest_size=16)
    for piece in _pieces(frame):
        piece.rechunk().write_parquet(stream := BytesIO(), compression="uncompressed", statistics=False)
        digest.update(stream.getbuffer())
    return digest.hexdigest()


def _pieces(frame: pl.DataFrame | pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield the rows in order, `HASHED_AT_ONCE` at a time; the batches of a lazy frame may have any size."""
    if isinstance(frame, pl.DataFrame):
        yield from frame.iter_slices(HASHED_AT_ONCE)
        return
    waiting = frame.head(0).collect()
    for batch in frame.collect_batches(chunk_size=HASHED_AT_ONCE, maintain_order=True):
        waiting = pl.concat([waiting, batch])
        while waiting.height >= HASHED_AT_ONCE:
            yield waiting.head(HASHED_AT_ONCE)
            waiting = waiting.slice(HASHED_AT_ONCE)
    if waiting.height:
        yield waiting
