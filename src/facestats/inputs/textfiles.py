"""Read texts from files that people made: CSV, JSON Lines, Parquet and plain text; errors name file and line."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

TEXT_COLUMNS = ("text", "caption", "captions", "description", "prompt", "tags", "sentence", "content")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class CaptionError(ValueError):
    """A caption file cannot be used; the text names the file, the line or picture, and what to do."""


def read_table(file: Path, *, encoding: str | None = None) -> pl.DataFrame:
    """Read a table of texts, by its suffix; all columns of CSV and JSON Lines are strings.

    Parameters
    ----------
    file
        ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson``, ``.parquet``, or ``.txt`` with a text per line.
    encoding
        Of a file that is neither UTF-8 nor UTF-16 with a mark, such as ``latin-1``.

    Raises
    ------
    CaptionError
        If the file cannot be read; names the line where there is one.
    """
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        msg = f"{file}: texts are read from {', '.join(READERS)}, not from {file.suffix or 'such a file'}"
        raise CaptionError(msg)
    return reader(file, encoding)


def decode_text(file: Path, encoding: str | None = None) -> str:
    """Read a text file in UTF-8 or UTF-16, or in the encoding given; else an error names the line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise CaptionError(msg) from error
    chosen = encoding or next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(chosen)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        msg = (
            f"{file}, line {line}: not {chosen.upper()}. Save the file as UTF-8, or say what it is:"
            " encoding='latin-1' (--encoding latin-1)."
        )
        raise CaptionError(msg) from error
    except LookupError as error:
        msg = f"{file}: Python knows no encoding {encoding!r}; common ones are utf-8, utf-16 and latin-1"
        raise CaptionError(msg) from error


def pick_column(columns: Sequence[str], wanted: str | None, *, usual: Sequence[str], where: object) -> str:
    """Return the column `wanted`, else the first of the `usual` ones, and say which was taken.

    Raises
    ------
    CaptionError
        If there is none; lists the columns.
    """
    if wanted is not None:
        if wanted not in columns:
            msg = f"{where} has no column {wanted!r}; it has {list(columns)}"
            raise CaptionError(msg)
        return wanted
    lower = {column.lower(): column for column in reversed(columns)}
    found = next((lower[name] for name in usual if name in lower), None)
    if found is None:
        msg = f"{where}: none of the columns {list(columns)} is called {' or '.join(usual)}; name the one to take"
        raise CaptionError(msg)
    if len(columns) > 1:
        log.info("%s: column %r taken from %s", where, found, list(columns))
    return found


def _read_csv(file: Path, encoding: str | None) -> pl.DataFrame:
    """Read a CSV as text, with the separator that its first line shows."""
    content = decode_text(file, encoding)
    head = content.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    try:
        return pl.read_csv(
            io.BytesIO(content.encode()), infer_schema=False, separator=separator, empty_string_is_null=False
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        msg = f"{file} cannot be read as CSV: {str(error).splitlines()[0]}"
        raise CaptionError(msg) from error


def _read_jsonl(file: Path, encoding: str | None) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(_lines(file, encoding), start=1):
        if not line.strip():
            continue
        try:
            rows.append({name: as_text(value) for name, value in json.loads(line).items()})
        except (ValueError, RecursionError, AttributeError) as error:
            msg = f"{file}, line {number}: not a JSON object ({error}); correct the line or take it out"
            raise CaptionError(msg) from error
    names = list(dict.fromkeys(k for row in rows for k in row))
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in names})


def _read_parquet(file: Path, _: str | None) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(file)
        listed = [name for name, kind in frame.schema.items() if kind == pl.List(pl.String)]
        return frame.with_columns(pl.col(listed).list.join(", "))
    # Polars panics on some broken files, and its panic is no Exception
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        msg = f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}"
        raise CaptionError(msg) from error


def _read_lines(file: Path, encoding: str | None) -> pl.DataFrame:
    return pl.DataFrame({"text": _lines(file, encoding)}, schema={"text": pl.String})


def _lines(file: Path, encoding: str | None) -> list[str]:
    """Lines of a file; what str.splitlines takes for an end of line besides (U+2028, form feed) is text."""
    lines = decode_text(file, encoding).split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def as_text(value: Any) -> str | None:
    """Text of a value that JSON or a data set holds: lists of tags joined by commas, numbers as they are written."""
    if value is None or isinstance(value, str):
        # a lone surrogate is valid JSON, but no text
        return value if value is None else value.encode("utf-8", "replace").decode()
    if isinstance(value, list | tuple):
        return ", ".join(str(as_text(v)) for v in value if v is not None)
    return json.dumps(value, ensure_ascii=False)


READERS: dict[str, Callable[[Path, str | None], pl.DataFrame]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
    ".txt": _read_lines,
}
