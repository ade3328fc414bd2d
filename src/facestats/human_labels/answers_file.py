"""The file of answers: a CSV to which whole lines are appended, so that a killed process loses no earlier answer."""

from __future__ import annotations

import csv
import errno
import io
import logging
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from facestats.core.atomic_write import write_atomically
from facestats.core.shown_text import for_cell, from_cell
from facestats.core.tables import KEY
from facestats.inputs.textfiles import CaptionError, decode_text, find_separator, read_csv_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

log = logging.getLogger(__name__)

COLUMNS = (KEY, "attribute", "value", "labeller", "time", "reason")
REQUIRED = COLUMNS[:3]
REASONS = ("low_margin", "conflict", "random")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks


class LabelError(ValueError):
    """A file of labels cannot be used; the message names the file, the line, and the valid values."""


def write(
    file: str | os.PathLike[str],
    image_id: str,
    *,
    attribute: str,
    value: str | None,
    labeller: str,
    reason: str | None = None,
) -> None:
    """Append one answer to a file of labels; it is on the disk when the call returns.

    A text that begins like a formula gets an apostrophe in front, which :func:`facestats.human_labels.read` takes away.
    If the process is killed, all earlier lines stay whole. At most the last line is incomplete; the next call of this
    function or of :func:`facestats.human_labels.read` removes it.

    Parameters
    ----------
    file
        CSV file; it is created, with its folder, if it is missing. Columns other than those that
        :func:`facestats.human_labels.read` reads stay empty in the new line.
    image_id
        Key of the picture.
    attribute
        Name of the attribute, such as ``hair_color``.
    value
        Name of the option. None withdraws the earlier answer of this labeller.
    labeller
        Name of the person who answers.
    reason
        Why this picture was chosen: ``low_margin``, ``conflict``, ``random``, or None if it was not chosen by
        :func:`facestats.human_labels.sample`.

    Raises
    ------
    LabelError
        If `reason` is unknown, a name contains a line break, or the file is not a file of labels or cannot be
        written.

    Examples
    --------
    >>> import tempfile
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = f"{folder}/labels.csv"
    ...     fs.human_labels.write(file, "face_000.png", attribute="age", value="child", labeller="anna")
    ...     labels = fs.human_labels.read(file, project.attributes)
    >>> labels.select("image_id", "value", "n_labellers").rows()
    [('face_000.png', 'child', 1)]
    """
    path = Path(file)
    if reason is not None and reason not in REASONS:
        msg = f"reason must be one of {', '.join(REASONS)}, got {reason!r}"
        raise LabelError(msg)
    names = (image_id, attribute, value, labeller)
    if any(str(part).splitlines() not in ([], [str(part)]) for part in names):
        msg = f"a name contains a line break and cannot be written to CSV: {names}. Rename the picture or option first."
        raise LabelError(msg)
    fields: dict[str, str | None] = {KEY: image_id, "attribute": attribute, "value": value}
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    fields |= {"labeller": labeller, "time": now, "reason": reason}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path):
            _to_utf8(path)
            _repair_last_line(path)
            head, separator = _header(path)
            text = "" if head else _format_line(COLUMNS, ",")
            line = _format_line([fields.get(name) or "" for name in head or COLUMNS], separator)
            _append(path, (text + line).encode())
    except OSError as error:
        msg = f"{path}: the label could not be written ({error}). Free some space or correct the permissions."
        raise LabelError(msg) from error


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the fields of each line, after repairing the last line of the file.

    Raises
    ------
    LabelError
        If the file is not text, lacks a column, or has a line with too many or too few fields.
    """
    with suppress(OSError), _lock(path):  # a read-only folder cannot be repaired, but it can be read
        _repair_last_line(path)
    try:
        written, rows, _ = read_csv_rows(path)
    except CaptionError as error:
        msg = f"{path} cannot be read: {error}"
        raise LabelError(msg) from error
    head = [KEY if name.casefold() == "file_name" else name.casefold() for name in written]
    if missing := [name for name in REQUIRED if head and name not in head]:
        msg = f"{path} has the columns {written}; it lacks {missing}. Add them, or give a file of labels."
        raise LabelError(msg)
    for number, fields in rows:
        if len(fields) != len(head):
            msg = (
                f"{path}, line {number}: {len(fields)} fields for the {len(head)} columns {written}."
                " Correct the line, or delete it."
            )
            raise LabelError(msg)
        yield number, dict(zip(head, map(from_cell, fields), strict=True))


def parse_time(text: str) -> datetime | None:
    """Parse an ISO 8601 time. A time without a zone is UTC; an empty text gives None, an invalid one ValueError."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _to_utf8(path: Path) -> None:
    """Write a file of another encoding, or with the line ends of old Macs, again in UTF-8, so that lines can be added."""
    data = path.read_bytes() if path.is_file() else b""
    if data[:2] in _UTF16:
        return
    whole, end, _ = data.rpartition(b"\n")  # the last line may be half written, and end within a letter
    try:
        (whole if end else data).decode()
        if b"\n" in data or b"\r" not in data:
            return
    except UnicodeDecodeError:
        log.warning("%s is written again in UTF-8, because labels are added in UTF-8", path)
    try:
        text = decode_text(path)
    except CaptionError as error:
        raise LabelError(str(error)) from error
    write_atomically(path, text.replace("\r\n", "\n").replace("\r", "\n"))


def _repair_last_line(path: Path) -> None:
    """Make the file end with a whole line: add the missing line break, or delete an incomplete last line."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(-1, os.SEEK_END)
        if file.read() == b"\n" or start in _UTF16:  # `write` adds nothing to UTF-16
            return
    before, end, last = path.read_bytes().rpartition(b"\n")
    is_ours = _has_columns(before) if end else _format_line(COLUMNS, ",").encode().startswith(last)
    if not is_ours:
        return  # not a file of labels: it stays as it is, and the reader reports what is wrong
    if end and _is_complete(before, last.decode(errors="replace")):
        _append(path, b"\n")
        return
    log.warning("%s: the last line was only half written and is removed: %r", path, last)
    with path.open("r+b") as stream:
        stream.truncate(len(before) + len(end))
        os.fsync(stream.fileno())


def _has_columns(data: bytes) -> bool:
    """Return whether the header names the required columns."""
    names, _ = _columns(data)
    return all(name in names for name in REQUIRED)


def _columns(data: bytes) -> tuple[list[str], str]:
    """Return the columns, as `read_lines` names them, and the separator of a file that begins with `data`."""
    first, _, rest = data.decode("utf-8-sig", "replace").partition("\n")
    separator, is_only_named = find_separator(first)
    head = (rest.partition("\n")[0] if is_only_named else first).rstrip("\r")
    names = [name.strip().casefold() for name in _split_line(head, separator)]
    return [KEY if name == "file_name" else name for name in names], separator


def _is_complete(before: bytes, last: str) -> bool:
    """Return whether `last`, a line without a line end, has a valid field for each column of the file."""
    head, separator = _columns(before)
    fields = _split_line(last, separator)
    row = dict(zip(head, fields, strict=False))
    try:
        parse_time(row.get("time", ""))
    except ValueError:
        return False
    return len(fields) == len(head) and row.get("reason", "") in {"", *REASONS}


def _header(path: Path) -> tuple[list[str], str]:
    """Read the columns and the separator of a file; a new file has no columns."""
    if not path.is_file() or path.stat().st_size == 0:
        return [], ","
    with path.open("rb") as file:
        first = file.readline() + file.readline()
    if first[:2] in _UTF16:
        msg = f"{path} is UTF-16, and labels can be added to UTF-8 only. Save it as UTF-8."
        raise LabelError(msg)
    names, separator = _columns(first)
    if missing := [name for name in (*REQUIRED, "labeller") if name not in names]:
        msg = f"{path} has the columns {names}; labels cannot be added without {missing}. Add them, or give another file."
        raise LabelError(msg)
    return names, separator


def _format_line(fields: Sequence[str], separator: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerow(map(for_cell, fields))
    return out.getvalue()


def _split_line(line: str, separator: str) -> list[str]:
    """Return the fields of a line; none if it is no line of a CSV."""
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return []


def _append(path: Path, data: bytes) -> None:
    """Append bytes in one system call, and wait until they are on the disk."""
    with path.open("ab", buffering=0) as file:
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())


def _lock(path: Path) -> FileLock:
    # the name is hidden, because the file may lie beside the user's pictures
    return FileLock(path.with_name(f".{path.name}.lock"), timeout=10)
