"""The rows of a data set, whatever it is stored in: a name, a text, an encoded picture, and why one is missing."""

from __future__ import annotations

import hashlib
import itertools
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from facestats.core.tables import KEY, STATUS
from facestats.inputs.textfiles import TEXT_COLUMNS, as_text, pick_column
from facestats.pictures.decode import MAX_BYTES, PictureError, read_picture_bytes
from facestats.pictures.paths import picture_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

IMAGE_COLUMNS = ("image", "img", "picture", "photo", "face", "jpg", "png", "webp")
NAME_COLUMNS = (KEY, "file_name", "id", "key", "__key__")
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    KEY: pl.String,
    "text": pl.String,
    "image": pl.Binary,
    "status": STATUS,
    "error": pl.String,
}


class Row(NamedTuple):
    """One row; a row without a name is named by its content."""

    name: str | None
    text: str | None = None
    image: bytes | None = None
    problem: PictureError | None = None


class Columns(NamedTuple):
    """The columns of a table that hold the picture, the text and the name of a row; None where there is none."""

    image: str | None
    text: str | None
    name: str | None


def pick_columns(
    columns: list[str], pictures: list[str], *, image: str | None, text: str | None, where: object
) -> Columns:
    """Choose the columns to read.

    Parameters
    ----------
    columns
        All columns.
    pictures
        Those that hold pictures according to their type.
    image, text
        Columns that were asked for.
    where
        Name of the table for messages.

    Raises
    ------
    CaptionError
        If a column does not exist, or if there is neither a picture nor a text.
    """
    named = [c for c in pictures if c.lower() in IMAGE_COLUMNS]
    picture = next(iter(named + pictures), None)
    if image is not None:
        picture = pick_column(columns, image, usual=IMAGE_COLUMNS, where=where)
    others = [c for c in columns if c != picture]
    words = None
    if text is not None or picture is None or {c.lower() for c in others} & set(TEXT_COLUMNS):
        words = pick_column(others, text, usual=TEXT_COLUMNS, where=where)
    name = next((c for c in NAME_COLUMNS if c in others and c != words), None)
    return Columns(picture, words, name)


def make_row(values: Mapping[str, Any], columns: Columns, read: Callable[[str], Row]) -> Row:
    """Turn the values of one row into a row; `read` reads a picture that is given by its path."""
    text = as_text(values[columns.text]) if columns.text else None
    name = values[columns.name] if columns.name else None
    value: Any = values[columns.image] if columns.image else None
    path: str | None = None
    is_named = name is not None and name != ""
    if isinstance(value, dict):
        value, path = value.get("bytes"), value.get("path")
        if value is not None and is_named:
            path = None  # the name column says more than the file that the bytes came from
    elif isinstance(value, str):
        value, path = None, value
    row = Row(path or None)
    if value is None and path:
        row = read(path)
    elif value is not None and not isinstance(value, bytes):
        kind = type(value).__name__
        text_of = f"the column {columns.image!r} holds {kind} instead of a picture; name another column"
        row = Row(None, problem=PictureError(status="not_image", text=text_of))
    elif value is not None:
        row = row._replace(image=value)
        if len(value) > MAX_BYTES:
            row = Row(row.name, problem=too_large(len(value)))
    return row._replace(name=row.name or (str(name) if is_named else None), text=text)


def read_below(folders: Iterable[Path], path: str, *, name: str) -> Row:
    """Read a picture that a row names: a regular file in one of `folders`, never one outside the last of them."""
    *_, root = folders = tuple(Path(os.path.realpath(folder)) for folder in folders)
    for folder in folders:
        with suppress(OSError, ValueError):  # a name that no file can have
            found = Path(os.path.realpath(folder / path))
            if found.is_file() and found.is_relative_to(root):
                return read_file(name, found)
    text = f"the data set names the picture {path[:200]!r}, and there is no such file below {root}"
    return Row(name, problem=PictureError(status="vanished", text=text))


def read_file(name: str, path: str | Path) -> Row:
    """Read the file of a picture; if that fails, the row says why."""
    try:
        return Row(name, image=read_picture_bytes(picture_path(str(path))))
    except PictureError as error:
        return Row(name, problem=error)


def too_large(size: int) -> PictureError:
    """Say that a picture has too many bytes."""
    text = f"the picture has {size / 1e6:.0f} MB, limit {MAX_BYTES / 1e6:.0f} MB; make it smaller"
    return PictureError(status="too_large", text=text)


def to_frames(rows: Iterable[Row], batch_size: int) -> Iterator[pl.DataFrame]:
    """Collect rows in frames of `batch_size` rows, and give each row a name of its own."""
    seen: dict[str, int] = {}
    stream = iter(rows)
    while batch := list(itertools.islice(stream, batch_size)):
        records = []
        for row in batch:
            name = row.name or digest(row.image if row.image is not None else row.text)
            own = name
            while own in seen:
                seen[name] += 1
                own = f"{name}-{seen[name]}"
            seen[own] = 1
            status, error = (None, None) if row.problem is None else (row.problem.status, str(row.problem))
            records.append((own, row.text, row.image, status, error))
        yield pl.DataFrame(records, schema=SCHEMA, orient="row")


def digest(value: str | bytes | None) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a value."""
    data = value.encode() if isinstance(value, str) else value or b""
    return hashlib.sha256(data).hexdigest()[:16]


def content_ids(values: pl.Series) -> pl.Series:
    """Name values by the first 16 hexadecimal digits of their SHA-256; repeated values get a number as suffix."""
    names = pl.Series("id", [digest(v) for v in values], dtype=pl.String)
    numbered = pl.DataFrame({"id": names}).select(
        pl.when(pl.int_range(pl.len()).over("id") > 0)
        .then(pl.col("id") + "-" + (pl.int_range(pl.len()).over("id") + 1).cast(pl.String))
        .otherwise("id")
        .alias("id")
    )
    return numbered["id"]
