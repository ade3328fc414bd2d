"""Read tables of texts that people made: CSV, JSON Lines, Parquet, plain text; errors name the file and the line."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.pictures.kinds import kind_of_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

_MAX_COLUMNS, _MAX_CELLS = 500, 5_000_000  # of a table of objects; more are no table
TEXT_COLUMNS = ("text", "caption", "captions", "description", "prompt", "tags", "sentence", "content")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class CaptionError(ValueError):
    """A file of texts or a data set cannot be used; the message names it, the line or picture, and what to do."""


def read_table(file: Path, *, encoding: str | None = None) -> pl.DataFrame:
    """Read a table of texts; its suffix decides how. All columns of CSV and JSON Lines are strings.

    Parameters
    ----------
    file
        ``.csv``, ``.tsv``, ``.json``, ``.jsonl``, ``.ndjson``, ``.parquet``, or ``.txt`` with one text per line.
    encoding
        Encoding of a file that is neither UTF-8 nor UTF-16 with a byte order mark, such as ``latin-1``. By default such a
        file is read as Windows-1252 if that is possible, and a line says so.

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


def check_side_file(file: Path, root: Path) -> None:
    """Raise CaptionError for a file below `root` that is a link leading out of it, a pipe or a device."""
    if not Path(os.path.realpath(file)).is_relative_to(os.path.realpath(root)):
        msg = f"{file} is a link that leaves {root}; copy the file there, or delete the link"
        raise CaptionError(msg)
    try:
        mode = file.stat().st_mode
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}; correct or delete it"
        raise CaptionError(msg) from error
    if not stat.S_ISREG(mode):
        msg = f"{file} is {kind_of_file(mode)}, not a regular file; delete it"
        raise CaptionError(msg)


def decode_text(file: Path, encoding: str | None = None) -> str:
    """Read a text file in UTF-8, UTF-16 or `encoding`; a CaptionError names the first line that is in another one."""
    try:
        data = file.read_bytes()
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise CaptionError(msg) from error
    chosen = encoding or next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    if chosen == "utf-8" and b"\0" in data:
        msg = f"{file} holds zero bytes, as UTF-16 without its mark does, and as no text does. Save it as UTF-8."
        raise CaptionError(msg)
    try:
        return data.decode(chosen)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        if encoding is None and (text := _as_windows(data)) is not None:
            shown = text.split("\n")[line - 1].strip()[:60]
            log.warning(
                "%s: not UTF-8, read as Windows-1252; see whether line %d is right: %r", file, line, shown
            )
            return text
        msg = (
            f"{file}, line {line}: not {chosen.upper()}. Save the file as UTF-8 (in Excel: CSV UTF-8), or in Python name"
            " its encoding, for example encoding='latin-1'."
        )
        raise CaptionError(msg) from error
    except LookupError as error:
        msg = f"{file}: Python knows no encoding {encoding!r}; common ones are utf-8, utf-16 and latin-1"
        raise CaptionError(msg) from error


def _as_windows(data: bytes) -> str | None:
    """Decode what older spreadsheets write in Western Europe and America; None if it holds other bytes."""
    if b"\0" in data:
        return None
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return None


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


def find_separator(head: str) -> tuple[str, bool]:
    """Return the separator of a CSV by its first line, and whether that line is no header, such as ``sep=;``."""
    named = re.fullmatch(r"\"?sep=(.)\"?", head.strip(), re.IGNORECASE)
    return (named[1], True) if named else (max(",;\t|", key=head.count), False)


def read_csv_rows(
    file: Path, encoding: str | None = None
) -> tuple[list[str], list[tuple[int, list[str]]], str]:
    """Return the header of a CSV, the number and the cells of each later line, and the separator.

    A first line such as ``sep=;`` names the separator; else it is the comma, semicolon, tab or bar most frequent in
    the header. Lines may end with LF, CRLF or CR. Empty lines and spaces around cells do not count.

    Raises
    ------
    CaptionError
        If the file cannot be decoded, or a quote is not closed; the message names the line.
    """
    content = decode_text(file, encoding).replace("\r\n", "\n").replace("\r", "\n")
    body = content.lstrip("\n")
    skipped = len(content) - len(body)
    head, _, rest = body.partition("\n")
    separator, is_only_named = find_separator(head)
    if is_only_named:
        body, skipped = rest, skipped + 1
    reader = csv.reader(io.StringIO(body), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        names = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num + skipped, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        msg = (
            f"{file}, line {reader.line_num + skipped}: not readable as CSV: {error}. Close every quote, and double a"
            " quote within a cell."
        )
        raise CaptionError(msg) from error
    return names, rows, separator


def _read_csv(file: Path, encoding: str | None) -> pl.DataFrame:
    """Read a CSV with string columns, as spreadsheets of all countries write it; cells missing at the end are empty."""
    names, rows, separator = read_csv_rows(file, encoding)
    if names and not names[-1]:  # a separator at the end of each line
        names = names[:-1] if all(len(row) < len(names) or not row[-1] for _, row in rows) else names
    _check_csv(file, names, rows, separator)
    columns = [[row[i] if i < len(row) else "" for _, row in rows] for i in range(len(names))]
    return pl.DataFrame(dict(zip(names, columns, strict=True)), schema=dict.fromkeys(names, pl.String))


def _check_csv(file: Path, names: list[str], rows: list[tuple[int, list[str]]], separator: str) -> None:
    """Raise CaptionError for a header with equal or empty names, and for rows with too many cells."""
    problems = [
        f"its header names the column {name!r} twice"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if not names:
        problems.append("it is empty, without a header of column names")
    elif "" in names:
        problems.append(f"its header {names} has a column without a name")
    if len(names) > 1 and rows and all(len(row) == 1 for _, row in rows):
        problems.append(
            f"its header is separated by {separator!r}, and its rows are not: line {rows[0][0]} is {rows[0][1][0][:80]!r}"
        )
    long = [(line, row) for line, row in rows if any(row[len(names) :])]
    if long:
        line, row = long[0]
        problems.append(
            f"line {line} has {len(row)} cells, and the header has {len(names)}: {separator.join(row)[:80]!r}; a cell that"
            f" holds {separator!r} must stand in quotes ({len(long)} such lines)"
        )
    if problems:
        msg = f"{file} cannot be read as CSV: {'; '.join(problems)}"
        raise CaptionError(msg)


def _read_jsonl(file: Path, encoding: str | None) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(_lines(file, encoding), start=1):
        if not line.strip():
            continue
        try:
            rows.append(_as_row(json.loads(line)))
        except (ValueError, RecursionError, AttributeError) as error:
            msg = f"{file}, line {number}: not a JSON object ({error}); correct or delete the line"
            raise CaptionError(msg) from error
    return _to_frame(rows, file)


def _to_frame(rows: list[dict[str, str | None]], file: Path) -> pl.DataFrame:
    """Make a table of rows; names that are almost as many as the rows are no columns, and would fill the memory."""
    names = list(dict.fromkeys(k for row in rows for k in row))
    if len(names) > _MAX_COLUMNS and len(names) * len(rows) > _MAX_CELLS:
        msg = (
            f"{file}: its {len(rows):,} rows have {len(names):,} different names, such as {names[0]!r} and {names[-1]!r};"
            " these are no columns. Write one name and one text per row."
        )
        raise CaptionError(msg)
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in names})


def _read_json(file: Path, encoding: str | None) -> pl.DataFrame:
    """Read a JSON file: a list of objects, or one object that gives a text to each name."""
    try:
        found = json.loads(decode_text(file, encoding))
    except (ValueError, RecursionError) as error:
        msg = f"{file}: not JSON ({error})"
        raise CaptionError(msg) from error
    if isinstance(found, dict) and {"file_name", "image_id"} & found.keys():
        found = [found]  # one row
    if isinstance(found, dict):
        keys = [key for value in found.values() if isinstance(value, dict) for key in value]
        words = next((key for key in keys if key.casefold() in TEXT_COLUMNS), "text")
        found = [
            {"file_name": name, **(value if isinstance(value, dict) else {words: value})}
            for name, value in found.items()
        ]
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        msg = f"{file}: expected a list of objects such as {{'file_name': ..., 'text': ...}}"
        raise CaptionError(msg)
    return _to_frame([_as_row(row) for row in found], file)


def _as_row(values: dict[str, Any]) -> dict[str, str | None]:
    return {str(as_text(name)): as_text(value) for name, value in values.items()}


def _read_parquet(file: Path, _: str | None) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(file, glob=False)
        columns = [_without_bytes(column, file) for column in frame]
    # Polars panics on some broken files; PanicException is not a PolarsError
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        msg = f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}"
        raise CaptionError(msg) from error
    return pl.DataFrame([column for column in columns if column is not None])


def _without_bytes(column: pl.Series, file: Path) -> pl.Series | None:
    """Return a column that can be read as text; None, after a warning, if it holds something else, such as pictures."""
    kind = column.dtype
    try:
        if kind.is_nested() and "Binary" not in str(kind):
            return pl.Series(column.name, [as_text(value) for value in column.to_list()], dtype=pl.String)
        texts = column.cast(pl.String)
        return texts if kind == pl.Binary else column
    except pl.exceptions.PolarsError:
        log.warning("%s: the column %r holds %s that is no text, and is not read", file, column.name, kind)
        return None


def _read_lines(file: Path, encoding: str | None) -> pl.DataFrame:
    texts = [line for line in _lines(file, encoding) if line.strip()]
    return pl.DataFrame({"text": texts}, schema={"text": pl.String})


def _lines(file: Path, encoding: str | None) -> list[str]:
    """Return the lines of a file; unlike str.splitlines, only line feeds end a line, not U+2028 or form feeds."""
    lines = decode_text(file, encoding).split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def as_text(value: Any) -> str | None:
    """Turn a value from JSON or a data set into text.

    Lists of tags are joined with commas. Of an object, its text or caption counts; without one, it is written as JSON.
    """
    if value is None or isinstance(value, str):
        # a lone surrogate is valid in JSON, but cannot be encoded as UTF-8
        return value if value is None else value.encode("utf-8", "replace").decode()
    if isinstance(value, list | tuple):
        return ", ".join(str(as_text(v)) for v in value if v is not None)
    if isinstance(value, dict):
        keys = {str(key).casefold(): key for key in value}
        if (found := next((keys[name] for name in TEXT_COLUMNS if name in keys), None)) is not None:
            return as_text(value[found])
    return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "replace").decode()


READERS: dict[str, Callable[[Path, str | None], pl.DataFrame]] = {
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".txt": _read_lines,
}
