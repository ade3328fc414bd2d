"""Read pictures and captions from tars that are named as WebDataset names them; nothing is unpacked to the disk.

The members of one sample share a key: their path up to the first dot of the file name. So ``00/anna.jpg``,
``00/anna.txt`` and ``00/anna.json`` are one sample, whatever their order in the tar. Where names hold more dots, a text
belongs to the picture of the same stem.
"""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from facestats.inputs.dataset_rows import Row, too_large
from facestats.inputs.listing import SUFFIXES
from facestats.inputs.textfiles import TEXT_COLUMNS, as_text
from facestats.pictures.decode import MAX_BYTES, PictureError

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

_TEXTS = (".txt", ".caption", ".json")  # the first one that holds a text counts
_MAX_TEXT = 1_000_000  # bytes of a caption
_BLOCK = 512


class _Member(NamedTuple):
    name: str
    suffix: str
    start: int
    size: int


def read_tar(file: Path, *, prefix: str = "", left_out: Counter[str]) -> Iterator[Row]:
    """Read the samples of a tar, in the order of their first members, with one picture in memory at a time.

    Parameters
    ----------
    file
        An uncompressed tar.
    prefix
        Is put before the name of each member.
    left_out
        Counts the members that are not read, by their suffix.

    Yields
    ------
    A row for each picture, named by its path in the tar; a sample without a picture is a row with its text. A tar
    that ends early is one more row with an error.
    """
    samples: dict[str, list[_Member]] = {}
    problem = None
    try:
        with file.open("rb") as opened:
            problem = _index(opened, samples, left_out)
            for key, members in samples.items():
                yield from _read_sample(opened, key, members, prefix=prefix, left_out=left_out)
    except OSError as error:
        problem = PictureError(status="unreadable", text=f"the tar cannot be read: {error.strerror}")
    if problem is not None:
        yield Row(f"{prefix}{file.name}", problem=problem)


def _index(
    opened: BinaryIO, samples: dict[str, list[_Member]], left_out: Counter[str]
) -> PictureError | None:
    """List the regular members by key; return why the tar is damaged, if it is."""
    n, end = 0, 0
    damaged = PictureError(status="corrupt", text="the tar is damaged; copy it again")
    try:
        with tarfile.open(fileobj=opened, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined] # they would fill the memory
                n += 1
                if member.size < 0 or tar.offset <= end:  # else a hostile header leads back to itself
                    return damaged
                end = tar.offset
                if member.isdir():
                    continue
                folder, _, base = member.name.removeprefix("./").rpartition("/")
                stem, dot, rest = base.partition(".")
                if not member.isreg() or member.issparse() or not stem:
                    left_out["a link, a device or a hidden file" if stem else "a hidden file"] += 1
                    continue
                key = f"{folder}/{stem}" if folder else stem
                suffix = f".{rest.rpartition('.')[2].lower()}" if dot else ""
                found = _Member(member.name.removeprefix("./"), suffix, member.offset_data, member.size)
                samples.setdefault(key, []).append(found)
            end = tar.offset
    except (tarfile.TarError, ValueError, OverflowError) as error:
        kind = "truncated" if n else "not_image"
        text = f"the tar ends early, after {n:,} files" if n else f"the file is no tar ({error})"
        return PictureError(status=kind, text=f"{text}; copy it again")
    opened.seek(end)
    # at a damaged header tarfile ends without an error
    return damaged if opened.read(_BLOCK).strip(b"\0") else None


def _read_sample(
    opened: BinaryIO, key: str, members: list[_Member], *, prefix: str, left_out: Counter[str]
) -> Iterator[Row]:
    """Yield a row for each picture of a sample: with the text of the same stem, or else with that of the key.

    Names may hold dots: ``Mr. X.png`` and ``Mr. Y.txt`` have one key, and are no picture with its text.
    """
    by_stem: dict[str, list[_Member]] = {}
    for member in members:
        by_stem.setdefault(_stem(member), []).append(member)
    texts = {stem: _first_text(opened, alike) for stem, alike in by_stem.items()}
    pictures = [member for member in members if member.suffix in SUFFIXES]
    if {_stem(member) for member in pictures} == {key} and not texts[key]:
        texts[key] = next((text for text in texts.values() if text), None)
    for member in members:
        if member not in pictures and member.suffix not in _TEXTS:
            left_out[member.suffix or "no suffix"] += 1
    if pictures and not texts.get(key):
        lost = [stem for stem, text in texts.items() if text and stem not in map(_stem, pictures)]
        left_out.update({"a text of no picture": len(lost)} if lost else {})
    for member in pictures:
        name, text = prefix + member.name, texts[_stem(member)] or texts.get(key)
        if member.size > MAX_BYTES:
            yield Row(name, text, problem=too_large(member.size))
            continue
        opened.seek(member.start)
        yield Row(name, text, opened.read(member.size))
    if not pictures:
        yield from (Row(prefix + stem, text) for stem, text in texts.items() if text)


def _stem(member: _Member) -> str:
    return member.name[: len(member.name) - len(member.suffix)]


def _first_text(opened: BinaryIO, members: list[_Member]) -> str | None:
    """Read the first of the usual kinds of captions that holds a text."""
    by_suffix = {member.suffix: member for member in reversed(members)}
    found = (_read_text(opened, by_suffix[suffix]) for suffix in _TEXTS if suffix in by_suffix)
    return next((text for text in found if text is not None), None)


def _read_text(opened: BinaryIO, member: _Member) -> str | None:
    """Read a caption; of JSON, the first usual key that holds one."""
    opened.seek(member.start)
    said = opened.read(min(member.size, _MAX_TEXT)).decode("utf-8", "replace").removeprefix("\ufeff").strip()
    if member.suffix != ".json":
        return said or None
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        lower = {str(name).lower(): held for name, held in value.items()}
        value = next((lower[name] for name in TEXT_COLUMNS if lower.get(name)), None)
    return as_text(value) or None
