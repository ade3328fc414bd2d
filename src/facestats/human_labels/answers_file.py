"""The file of answers: a CSV that grows by one whole line at a time, whatever kills the process that writes."""

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

from facestats.core.tables import KEY
from facestats.inputs.textfiles import CaptionError, decode_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

log = logging.getLogger(__name__)

COLUMNS = (KEY, "attribute", "value", "labeller", "time", "reason")
NEEDED = COLUMNS[:3]
REASONS = ("low_margin", "conflict", "random")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class LabelError(ValueError):
    """A file of labels cannot be used; the text names the file, the line, and what is valid."""


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

    A process killed at any moment leaves whole lines, and at most one half line at the end, which the next call
    of this function or of :func:`facestats.human_labels.read` takes out.

    Parameters
    ----------
    file
        CSV, made with its folder if missing; other columns than those of :func:`facestats.human_labels.read` stay empty.
    image_id
        Which picture.
    attribute
        Which attribute, such as ``hair_color``.
    value
        Which option; None withdraws what this labeller said before.
    labeller
        Who says so.
    reason
        Why the picture was asked: low_margin, conflict, random.

    Raises
    ------
    LabelError
        If the file is none of labels, or cannot be written.
    """
    path = Path(file)
    if reason is not None and reason not in REASONS:
        msg = f"reason must be one of {', '.join(REASONS)}, got {reason!r}"
        raise LabelError(msg)
    names = (image_id, attribute, value, labeller)
    if any(len(str(part).splitlines()) > 1 for part in names):
        msg = f"a name with a line break cannot be labelled: {names}. Rename it first."
        raise LabelError(msg)
    fields: dict[str, str | None] = {KEY: image_id, "attribute": attribute, "value": value}
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    fields |= {"labeller": labeller, "time": now, "reason": reason}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            _mend(path)
            head, separator = _header(path)
            text = "" if head else _line(COLUMNS, ",")
            line = _line([fields.get(name) or "" for name in head or COLUMNS], separator)
            _append(path, (text + line).encode())
    except OSError as error:
        msg = f"{path}: the label could not be written ({error}). Free some space or mend the permissions."
        raise LabelError(msg) from error


def read_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield number and fields of every line, after mending the end of the file.

    Raises
    ------
    LabelError
        If the file is no text, lacks a column, or a line has too many or too few fields.
    """
    with suppress(OSError), _locked(path):  # a folder that may only be read
        _mend(path)
    try:
        text = decode_text(path)
        reader = csv.reader(io.StringIO(text), delimiter=_separator(text))
        head = [name.strip() for name in next(reader, [])]
        if missing := [name for name in NEEDED if head and name not in head]:
            msg = f"{path} has the columns {head}; it lacks {missing}"
            raise LabelError(msg)
        for fields in reader:
            if not any(fields):
                continue
            if len(fields) != len(head):
                msg = (
                    f"{path}, line {reader.line_num}: {len(fields)} fields for the {len(head)} columns {head}"
                )
                raise LabelError(msg)
            yield reader.line_num, {n: field.strip() for n, field in zip(head, fields, strict=True)}
    except (CaptionError, csv.Error) as error:
        msg = f"{path} cannot be read: {error}"
        raise LabelError(msg) from error


def parse_time(text: str) -> datetime | None:
    """Read an ISO 8601 time, UTC where it names no zone; None for an empty text, else ValueError."""
    if not text:
        return None
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _mend(path: Path) -> None:
    """Give the file whole lines: end the last one, or take it out if it is only half there."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(-1, os.SEEK_END)
        if file.read() == b"\n" or start in _UTF16:  # UTF-16: a person's editor wrote it
            return
    before, end, last = path.read_bytes().rpartition(b"\n")
    ours = _has_columns(before) if end else _line(COLUMNS, ",").encode().startswith(last)
    if not ours:
        return  # left as it is, the reader says what is wrong with it
    if end and _is_whole(before.decode(errors="replace"), last.decode(errors="replace")):
        _append(path, b"\n")
        return
    log.warning("%s: the last line was only half written and is taken out: %r", path, last)
    with path.open("r+b") as stream:
        stream.truncate(len(before) + len(end))
        os.fsync(stream.fileno())


def _has_columns(data: bytes) -> bool:
    head = data.partition(b"\n")[0].decode("utf-8-sig", "replace")
    return all(name in head for name in NEEDED)


def _is_whole(before: str, last: str) -> bool:
    """Whether a line without an end, below those `before`, has all that the columns ask for."""
    separator = _separator(before)
    head = next(csv.reader([before.partition("\n")[0]], delimiter=separator), [])
    fields = next(csv.reader([last], delimiter=separator), [])
    row = dict(zip((name.strip() for name in head), fields, strict=False))
    try:
        parse_time(row.get("time", ""))
    except ValueError:
        return False
    return len(fields) == len(head) and row.get("reason", "") in {"", *REASONS}


def _header(path: Path) -> tuple[list[str], str]:
    """Columns and separator of a file; no columns where it is new."""
    if not path.is_file() or path.stat().st_size == 0:
        return [], ","
    with path.open("rb") as file:
        first = file.readline()
    if first[:2] in _UTF16:
        msg = f"{path} is UTF-16; save it as UTF-8 before labels are added"
        raise LabelError(msg)
    head = first.decode("utf-8-sig", "replace").rstrip("\r\n")
    separator = _separator(head)
    names = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
    if missing := [name for name in (*NEEDED, "labeller") if name not in names]:
        msg = f"{path} has the columns {names}; labels cannot be added without {missing}"
        raise LabelError(msg)
    return names, separator


def _separator(text: str) -> str:
    return max(",;\t", key=text.partition("\n")[0].count)


def _line(fields: Sequence[str], separator: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerow(fields)
    return out.getvalue()


def _append(path: Path, data: bytes) -> None:
    """Add bytes in one call of the system, and wait until the disk has them."""
    with path.open("ab", buffering=0) as file:
        if file.write(data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(file.fileno())


def _locked(path: Path) -> FileLock:
    # hidden: beside pictures it must not look like one of the user's files
    return FileLock(path.with_name(f".{path.name}.lock"), timeout=10)
