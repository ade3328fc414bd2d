"""Find texts: captions beside pictures, tables of texts, and data sets of the Hugging Face hub."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY, TableError
from facestats.inputs.dataset_rows import content_ids
from facestats.inputs.dataset_sources import is_dataset, read_source
from facestats.inputs.listing import list_images
from facestats.inputs.matching import index_keys, letters, spelling
from facestats.inputs.metadata import METADATA, metadata_files, name_pictures, name_rows
from facestats.inputs.stored_datasets import check_revision
from facestats.inputs.textfiles import (
    READERS,
    TEXT_COLUMNS,
    CaptionError,
    as_text,
    check_side_file,
    decode_text,
    pick_column,
    read_table,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

_IDS = (KEY, "file_name", "id")
# what looks like captions beside pictures
_SIDE_SUFFIXES = frozenset([*READERS, ".caption", ".xlsx", ".yaml", ".yml"])
_SIDECARS = (".txt", ".TXT", ".caption", ".json")
_OTHER_SIDE_FILES = frozenset(
    ["labels.csv", "ratings.csv", "landmarks.parquet"]
)  # the last one is the demo's


def list_captions(
    source: str | os.PathLike[str],
    *,
    text: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    encoding: str | None = None,
) -> pl.DataFrame:
    """List texts: the caption of every picture below a folder, a table of texts, or a data set.

    Parameters
    ----------
    source
        - A folder of pictures. Captions are read from ``metadata.csv``, ``.jsonl`` or ``.parquet`` anywhere below it,
          with `file_name` relative to that file (the convention of Hugging Face imagefolder), from ``captions.csv`` and
          the like, or from a file named like the picture: ``anna.txt``, ``anna.jpg.txt``, ``anna.caption`` or
          ``anna.json`` beside ``anna.jpg``. Metadata without a column of texts has no captions.
        - A file of texts without pictures: ``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``, or ``.txt`` with one text
          per line. Its column `image_id`, `file_name` or `id` names the rows; without one, a hash of the text does.
        - A data set of the Hugging Face hub (``org/name``) or a local folder of one, which is streamed.
    text
        Column of the texts; by default the first existing one of `text`, `caption`, `description`, ...
    split
        Split of a data set, such as ``train``; by default the first.
    revision
        Commit, tag or branch of a data set of the Hugging Face hub; by default its newest files.
    encoding
        Encoding of files that are neither UTF-8 nor UTF-16 with a byte order mark, such as ``latin-1``.

    Returns
    -------
    `image_id` and `text` (String, null where there is none). For a folder of pictures, one row per picture, in the
    order of :func:`list_images`; otherwise, one row per text, in the order of the source.

    Raises
    ------
    CaptionError
        If a file cannot be read, has no column of texts, repeats a name, or a picture has two captions. The message
        names the file and the line, the columns, or the picture.

    Examples
    --------
    >>> import facestats as fs
    >>> captions = fs.list_captions(fs.testing.example_project().raw_dir)
    >>> captions.head(2).rows()
    [('face_000.png', 'A child with black hair.'), ('face_001.png', 'A elderly with red hair.')]
    """
    path = Path(source).expanduser()
    check_revision(source, revision)
    if path.is_file():
        return _texts_of_file(path, text=text, encoding=encoding)
    if is_dataset(source):
        batches = [
            batch.select(KEY, "text")
            for batch in read_source(str(source), split=split, revision=revision, text=text)
        ]
        return pl.concat(batches) if batches else pl.DataFrame(schema={KEY: pl.String, "text": pl.String})
    return _captions_of_pictures(path, text=text, encoding=encoding)


def _texts_of_file(file: Path, *, text: str | None, encoding: str | None) -> pl.DataFrame:
    frame = read_table(file, encoding=encoding)
    column = pick_column(frame.columns, text, usual=TEXT_COLUMNS, where=file)
    try:
        texts = frame.select(text=pl.col(column).cast(pl.String))
    except pl.exceptions.PolarsError as error:
        msg = f"{file}: the column {column!r} holds {frame.schema[column]} that is no text"
        raise CaptionError(msg) from error
    names = next((name for name in _IDS if name in frame.columns and name != column), None)
    if names is None:
        return texts.select(content_ids(texts["text"]).alias(KEY), "text")
    ids = frame[names].cast(pl.String)
    if ids.null_count() or ids.is_duplicated().any():
        found = "an empty name" if ids.null_count() else f"{ids.filter(ids.is_duplicated())[0]!r} twice"
        msg = f"{file}: the column {names!r} must give every text its own name; it holds {found}. Name another column by --id-column"
        raise CaptionError(msg)
    return texts.select(ids.alias(KEY), "text")


def _captions_of_pictures(root: Path, *, text: str | None, encoding: str | None) -> pl.DataFrame:
    pictures = list_images(root).select(KEY)
    found: list[tuple[str, str | None, str]] = []
    for file in metadata_files(root):
        rows = _read_metadata(file, text, encoding).drop_nulls(KEY)
        ids = name_pictures(root, file, rows[KEY], pictures=pictures[KEY].to_list())
        source = file.relative_to(root).as_posix()
        found += [(name, caption, source) for name, caption in zip(ids, rows["text"], strict=True)]
    found += _sidecars(root, pictures[KEY].to_list(), encoding)
    captions = pl.DataFrame(
        found, schema={KEY: pl.String, "text": pl.String, "source": pl.String}, orient="row"
    )
    captions = captions.filter(pl.col("text").str.strip_chars() != "")
    if twice := captions.filter(pl.col(KEY).is_duplicated())[KEY].unique().sort().to_list():
        sources = captions.filter(pl.col(KEY) == twice[0])["source"].to_list()
        msg = (
            f"{len(twice)} pictures have two captions, such as {twice[0]!r}: see {sources}. Keep one of them."
        )
        raise CaptionError(msg)
    return pictures.join(captions.drop("source"), on=KEY, how="left", validate="1:1", maintain_order="left")


def _read_metadata(file: Path, text: str | None, encoding: str | None) -> pl.DataFrame:
    """Read names and texts of a metadata file; no rows if it has no column of texts."""
    try:
        frame = name_rows(READERS[file.suffix.lower()](file, encoding), file)
    except TableError as error:
        raise CaptionError(str(error)) from error
    others = [c for c in frame.columns if c != KEY]
    if text is None and not {c.casefold() for c in others} & set(TEXT_COLUMNS):
        return pl.DataFrame(schema={KEY: pl.String, "text": pl.String})
    column = pick_column(others, text, usual=TEXT_COLUMNS, where=file)
    return frame.select(pl.col(KEY).cast(pl.String), text=pl.col(column).cast(pl.String))


def _sidecars(
    root: Path, pictures: Sequence[str], encoding: str | None
) -> Iterator[tuple[str, str | None, str]]:
    """Yield `image_id`, text and source of every text file that is named like a picture, with its suffix or without.

    Of several, ``.txt`` comes before ``.caption`` and ``.json``. The same name comes before another spelling, and that
    before other capital letters. A line names the text files that belong to no picture.
    """
    beside = {
        path.relative_to(root).as_posix(): path
        for path in root.rglob("*.*")
        if path.suffix.lower() in _SIDE_SUFFIXES and not _is_hidden(path, root) and not path.is_dir()
    }
    read = {*METADATA, *_OTHER_SIDE_FILES}
    free = {name for name, path in beside.items() if path.name.lower() not in read}
    without = list(pictures)
    for reduce in (str, spelling, letters):
        files = index_keys((reduce(name), name) for name in sorted(free))
        found = {picture: _named_like(picture, reduce, files) for picture in without}
        for picture, names in found.items():
            if names:
                check_side_file(beside[names[0]], root)
                yield picture, _read_sidecar(beside[names[0]], encoding), beside[names[0]].name
        free -= {name for names in found.values() for name in names}
        without = [picture for picture in without if not found[picture]]
    if lost := sorted(free):
        named = ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if len(lost) > 3 else "")
        books = (
            " (save a spreadsheet as metadata.csv)"
            if any(name.lower().endswith(".xlsx") for name in lost)
            else ""
        )
        n = f"{len(lost)} files beside the pictures are" if len(lost) > 1 else "1 file beside the pictures is"
        log.warning("%s: %s not read: %s%s", root, n, named, books)


def _named_like(picture: str, reduce: Callable[[str], str], files: Mapping[str, str | None]) -> list[str]:
    """Find the files that are named like a picture, the first one first."""
    stem, _, suffix = picture.rpartition(".")
    stems = (stem, picture) if stem and "/" not in suffix else (picture,)
    found = (files.get(reduce(f"{s}{kind}")) for kind in _SIDECARS for s in stems)
    return [name for name in found if name is not None]


def _read_sidecar(file: Path, encoding: str | None) -> str | None:
    text = decode_text(file, encoding).strip()
    if file.suffix.lower() != ".json":
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{file}: not JSON ({error}). Correct or delete the file."
        raise CaptionError(msg) from error
    if not isinstance(found, dict):
        return as_text(found)
    keys = {key.casefold(): key for key in found}
    return next((as_text(found[keys[name]]) for name in TEXT_COLUMNS if name in keys), None)


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)
