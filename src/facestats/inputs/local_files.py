"""Find what a folder of a data set holds: pictures with captions, tars, tables; and what of it is left out."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY
from facestats.inputs.dataset_rows import Row, read_file
from facestats.inputs.listing import SCHEMA, SUFFIXES, list_images
from facestats.inputs.matching import index_keys, letters
from facestats.inputs.splits import ALL, choose_split, split_files, take_split
from facestats.inputs.stored_datasets import PARQUET, TAR, has_pictures, read_files
from facestats.inputs.textfiles import READERS, TEXT_COLUMNS, CaptionError, check_side_file, read_table
from facestats.pictures.decode import PictureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    CaptionsOf = Callable[..., pl.DataFrame]

log = logging.getLogger(__name__)

_METADATA = "metadata"  # name of the tables that `list_captions` reads
_BESIDE = (".txt", ".caption", ".json")  # captions beside pictures
_TABLES = set(READERS) - set(_BESIDE)


@dataclass(frozen=True)
class LocalFiles:
    """The visible files at or below `root`.

    Parameters
    ----------
    root
        The folder, or the only file.
    pictures
        Pictures, as :func:`facestats.list_images` lists them.
    stored
        Tars, and tables whose rows are rows of the data set.
    tables
        Other tables, which may hold captions.
    others
        All other files.
    """

    root: Path
    pictures: pl.DataFrame
    stored: list[Path]
    tables: list[Path]
    others: list[Path]


def find_files(root: Path) -> LocalFiles:
    """Sort the files of a data set: tables are read for their rows if they hold pictures, or if nothing else does.

    Raises
    ------
    FileNotFoundError
        If there is nothing to read.
    """
    pictures, files = _list(root)
    tars = [file for file in files if file.suffix.lower() == TAR]
    tables = [
        file
        for file in files
        if file.suffix.lower() in _TABLES or (file == root and file.suffix.lower() in READERS)
    ]
    stored = tars + [file for file in tables if file.suffix.lower() == PARQUET and has_pictures(file)]
    if pictures.is_empty() and not stored:
        stored = tables
    if pictures.is_empty() and not stored:
        found = _count(files)
        msg = f"nothing to read in {root}: no picture, no .tar and no table ({found or 'no file'})"
        raise FileNotFoundError(msg)
    known = {*stored, *tables}
    others = [file for file in files if file not in known]
    return LocalFiles(root, pictures, sorted(stored), [t for t in tables if t not in stored], others)


def open_files(
    files: LocalFiles,
    *,
    split: str | None,
    image: str | None,
    text: str | None,
    left_out: Counter[str],
    report: Callable[[str], None],
    captions_of: CaptionsOf | None,
) -> Iterator[Row]:
    """Say what is read and what is left out, and return the rows."""
    if image is not None and not any(file.suffix.lower() == PARQUET for file in files.stored):
        msg = (
            f"{files.root} has no column {image!r}: its pictures are files; leave out the name of the column"
        )
        raise CaptionError(msg)
    paths = {_below(files.root, file): file for file in files.stored}
    by_kind = [
        split_files(files.pictures[KEY].to_list(), by_file_name=False),
        split_files(list(paths), by_file_name=True),
    ]
    chosen = choose_split(dict.fromkeys(s for kind in by_kind for s in kind if s), split, where=files.root)
    (names, lost), (stored, lost_files) = (take_split(kind, chosen) for kind in by_kind)
    captions, used = _captions(files, text, captions_of) if names and captions_of else ({}, [])
    unread = [file for file in [*files.tables, *files.others] if file not in used]
    has_splits = any(split for kind in by_kind for split in kind)
    report(
        _describe(chosen if has_splits else None, len(names), stored)
        + _describe_rest({"picture": lost, "file": lost_files}, unread)
    )
    wanted = set(names)
    kept = files.pictures.filter(pl.col(KEY).is_in(wanted))
    rest = read_files([paths[name] for name in stored], files.root, image=image, text=text, left_out=left_out)
    return itertools.chain(_picture_rows(kept, captions), rest)


def _list(root: Path) -> tuple[pl.DataFrame, list[Path]]:
    """List the pictures of a folder, and its other files."""
    none = pl.DataFrame(schema=SCHEMA)
    if root.is_file():
        if root.suffix.lower() in SUFFIXES:
            msg = f"{root} is a picture and no data set; name its folder, or label it by --image {root}"
            raise CaptionError(msg)
        return none, [root]
    try:
        pictures = list_images(root)
    except FileNotFoundError:
        pictures = none
    # a path in the listing may be the real one of a link
    known = {(root / name).as_posix() for name in pictures[KEY]}
    files = [
        file
        for file in sorted(root.rglob("*"))
        if not any(part.startswith(".") for part in file.relative_to(root).parts)
        and file.as_posix() not in known
        and not file.is_dir()
    ]
    for file in files:
        if file.suffix.lower() in {TAR, *READERS}:
            check_side_file(file, root)
    return pictures, files


def _captions(
    files: LocalFiles, text: str | None, captions_of: CaptionsOf
) -> tuple[dict[str, str], list[Path]]:
    """Read the captions of pictures, and list the files that were used for it."""
    frame = captions_of(files.root, text=text).drop_nulls("text")
    captions = dict(frame.select(KEY, "text").iter_rows())
    used = [file for file in files.tables if file.stem.lower() == _METADATA]
    for table in files.tables:
        if table in used:
            continue
        said = _captions_in(table, files, text)
        if said is not None:
            captions = {**said, **captions}
            used.append(table)
    stems = {(files.root / name).with_suffix("").as_posix() for name in captions}
    beside = [
        f for f in files.others if f.suffix.lower() in _BESIDE and f.with_suffix("").as_posix() in stems
    ]
    return captions, used + beside


def _captions_in(table: Path, files: LocalFiles, text: str | None) -> dict[str, str] | None:
    """Read captions from a table beside pictures that names them in a column; None if no column does."""
    try:
        frame = read_table(table)
    except CaptionError as error:
        log.warning("%s", error)
        return None
    folder = _below(files.root, table.parent)
    names = files.pictures[KEY].to_list()
    by_base = Counter(PurePosixPath(name).name for name in names)
    known = {PurePosixPath(name).name: name for name in names if by_base[PurePosixPath(name).name] == 1}
    known |= {name: name for name in names}
    known |= {
        PurePosixPath(name).relative_to(folder).as_posix(): name for name in names if _lies_in(name, folder)
    }
    alike = index_keys((letters(written), name) for written, name in known.items())
    found = {
        column: [known.get(str(value)) or alike.get(letters(str(value))) for value in frame[column]]
        for column in frame.columns
    }
    column = max(found, key=lambda c: sum(name is not None for name in found[c]), default=None)
    if column is None or not any(found[column]):
        return None
    words = next((c for c in frame.columns if c == text or (not text and c.lower() in TEXT_COLUMNS)), None)
    if words is None or words == column:
        return {}
    log.info("%s: column %r names pictures, column %r holds captions", table, column, words)
    said = [*zip(found[column], frame[words].cast(pl.String), strict=True)]
    counts = Counter(name for name, value in said if name is not None and (value or "").strip())
    if twice := [name for name, n in counts.items() if n > 1]:
        msg = f"{table}: {len(twice)} pictures have two captions, such as {twice[0]!r}. Keep one row of each."
        raise CaptionError(msg)
    return {name: value for name, value in said if name is not None and (value or "").strip()}


def _lies_in(name: str, folder: str) -> bool:
    return folder != "." and PurePosixPath(name).is_relative_to(folder)


def _picture_rows(pictures: pl.DataFrame, captions: dict[str, str]) -> Iterator[Row]:
    for name, path, status, error in pictures.select(KEY, "path", "status", "error").iter_rows():
        row = read_file(name, path) if status is None else Row(name, problem=PictureError(status, error))
        yield row._replace(text=captions.get(name))


def _below(root: Path, file: Path) -> str:
    return file.name if file == root and file.is_file() else file.relative_to(root).as_posix()


def _describe(split: str | None, n_pictures: int, stored: Sequence[str]) -> str:
    what = [_plural(n_pictures, "picture")] if n_pictures else []
    what += [
        _plural(n, f"{end} file") for end, n in Counter(PurePosixPath(name).suffix for name in stored).items()
    ]
    which = "" if split is None else "all splits: " if split == ALL else f"split {split!r}: "
    return f"reading {which}{', '.join(what)}"


def _describe_rest(lost: dict[str, dict[str, int]], unread: Sequence[Path]) -> str:
    rest = [f"split {s!r} ({_plural(n, what)})" for what, splits in lost.items() for s, n in splits.items()]
    hint = "; --split all reads all splits" if rest else ""
    rest += [f"{_plural(len(unread), 'other file')} ({_count(unread)})"] if unread else []
    return f"; left out: {', '.join(rest)}{hint}" if rest else ""


def _plural(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _count(files: Sequence[Path]) -> str:
    counts = Counter(file.suffix.lower() or "no suffix" for file in files)
    return ", ".join(f"{n:,} {end}" for end, n in counts.most_common())
