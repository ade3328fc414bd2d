"""Read tables of texts that people made: CSV, JSON Lines, Parquet, plain text; errors name the file and the line."""

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
    """A file of texts or a data set cannot be used; the message names it, the line or picture, and what to do."""


def read_table(file: Path, *, encoding: str | None = None) -> pl.DataFrame:
    """Read a table of texts; its suffix decides how. All columns of CSV and JSON Lines are strings.

    Parameters
    ----------
    file
        ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson``, ``.parquet``, or ``.txt`` with one text per line.
    encoding
        Encoding of a file that is neither UTF-8 nor UTF-16 with a byte order mark, such as ``latin-1``.

    Returns
    -------
    The table; that of a ``.txt`` file has one column, `text`.

    Raises
    ------
    CaptionError
        If the file cannot be read; the message names the line if possible.
    """
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        msg = f"{file}: texts are read from {', '.join(READERS)}, not from {file.suffix or 'a file without a suffix'}"
        raise CaptionError(msg)
    return reader(file, encoding)


def decode_text(file: Path, encoding: str | None = None) -> str:
    """Read a text file in UTF-8, UTF-16 or `encoding`; a CaptionError names the first line that is in another one."""
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
            f"{file}, line {line}: not {chosen.upper()}. Save the file as UTF-8, or name its encoding, for example"
            " encoding='latin-1' (--encoding latin-1)."
        )
        raise CaptionError(msg) from error
    except LookupError as error:
        msg = f"{file}: Python knows no encoding {encoding!r}; common ones are utf-8, utf-16 and latin-1"
        raise CaptionError(msg) from error


def pick_column(columns: Sequence[str], wanted: str | None, *, usual: Sequence[str], where: object) -> str:
    """Return the column `wanted`, or by default the first of the `usual` names that exists, which is then logged.

    Raises
    ------
    CaptionError
        If there is no such column; the message lists the columns of `where`.
    """
    if wanted is not None:
        if wanted not in columns:
            msg = f"{where} has no column {wanted!r}; it has {list(columns)}"
            raise CaptionError(msg)
        return wanted
    lower = {column.lower(): column for column in reversed(columns)}
    found = next((lower[name] for name in usual if name in lower), None)
    if found is None:
        msg = f"{where}: none of the columns {list(columns)} is named {' or '.join(usual)}; name the column to read"
        raise CaptionError(msg)
    if len(columns) > 1:
        log.info("%s: reading column %r of %s", where, found, list(columns))
    return found


def _read_csv(file: Path, encoding: str | None) -> pl.DataFrame:
    """Read a CSV with string columns; its separator is the comma, semicolon or tab most frequent in the first line."""
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
            msg = f"{file}, line {number}: not a JSON object ({error}); correct or delete the line"
            raise CaptionError(msg) from error
    names = list(dict.fromkeys(k for row in rows for k in row))
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in names})


def _read_parquet(file: Path, _: str | None) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(file)
        listed = [name for name, kind in frame.schema.items() if kind == pl.List(pl.String)]
        return frame.with_columns(pl.col(listed).list.join(", "))
    # Polars panics on some broken files; PanicException is not a PolarsError
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        msg = f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}"
        raise CaptionError(msg) from error


def _read_lines(file: Path, encoding: str | None) -> pl.DataFrame:
    return pl.DataFrame({"text": _lines(file, encoding)}, schema={"text": pl.String})


def _lines(file: Path, encoding: str | None) -> list[str]:
    """Return the lines of a file; unlike str.splitlines, only line feeds end a line, not U+2028 or form feeds."""
    lines = decode_text(file, encoding).split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def as_text(value: Any) -> str | None:
    """Turn a value from JSON or a data set into text: join lists of tags with commas, write other values as JSON."""
    if value is None or isinstance(value, str):
        # a lone surrogate is valid in JSON, but cannot be encoded as UTF-8
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
