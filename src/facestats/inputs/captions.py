"""Find texts: captions beside pictures, tables of texts, and data sets of the Hugging Face hub."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY
from facestats.inputs.dataset_rows import content_ids
from facestats.inputs.dataset_sources import is_dataset, read_source
from facestats.inputs.listing import list_images
from facestats.inputs.metadata import metadata_files, picture_id
from facestats.inputs.textfiles import (
    READERS,
    TEXT_COLUMNS,
    CaptionError,
    decode_text,
    pick_column,
    read_table,
)
from facestats.pictures.paths import picture_path

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_IDS = (KEY, "file_name", "id")


def list_captions(
    source: str | os.PathLike[str],
    *,
    text: str | None = None,
    split: str | None = None,
    encoding: str | None = None,
) -> pl.DataFrame:
    """List texts: the caption of every picture below a folder, a table of texts, or a data set.

    Parameters
    ----------
    source
        - A folder of pictures. Captions are read from ``metadata.csv``, ``.jsonl`` or ``.parquet`` anywhere below it,
          with `file_name` relative to that file (the convention of Hugging Face imagefolder), or from a text file
          named like the picture: ``anna.txt`` beside ``anna.jpg``.
        - A file of texts without pictures: ``.csv``, ``.tsv``, ``.jsonl``, ``.parquet``, or ``.txt`` with one text
          per line. Its column `image_id`, `file_name` or `id` names the rows; without one, a hash of the text does.
        - A data set of the Hugging Face hub (``org/name``) or a local folder of one, which is streamed.
    text
        Column of the texts; by default the first existing one of `text`, `caption`, `description`, ...
    split
        Split of a data set, such as ``train``; by default the first.
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
    if path.is_file():
        return _texts_of_file(path, text=text, encoding=encoding)
    if is_dataset(source):
        batches = [batch.select(KEY, "text") for batch in read_source(str(source), split=split, text=text)]
        return pl.concat(batches) if batches else pl.DataFrame(schema={KEY: pl.String, "text": pl.String})
    return _captions_of_pictures(path, text=text, encoding=encoding)


def _texts_of_file(file: Path, *, text: str | None, encoding: str | None) -> pl.DataFrame:
    frame = read_table(file, encoding=encoding)
    column = pick_column(frame.columns, text, usual=TEXT_COLUMNS, where=file)
    texts = frame.select(text=pl.col(column).cast(pl.String))
    names = next((name for name in _IDS if name in frame.columns and name != column), None)
    if names is None:
        return texts.select(content_ids(texts["text"]).alias(KEY), "text")
    ids = frame[names].cast(pl.String)
    if ids.null_count() or ids.is_duplicated().any():
        found = "an empty name" if ids.null_count() else f"{ids.filter(ids.is_duplicated())[0]!r} twice"
        msg = f"{file}: the column {names!r} must give every text its own name; it holds {found}"
        raise CaptionError(msg)
    return texts.select(ids.alias(KEY), "text")


def _captions_of_pictures(root: Path, *, text: str | None, encoding: str | None) -> pl.DataFrame:
    pictures = list_images(root).select(KEY)
    found = [row for file in metadata_files(root) for row in _read_metadata(root, file, text, encoding)]
    found += _sidecars(root, pictures[KEY], encoding)
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
    lost = captions.join(pictures, on=KEY, how="anti")
    if lost.height:
        log.warning("%d captions name no picture in %s, such as %r", lost.height, root, lost[KEY][0])
    return pictures.join(captions.drop("source"), on=KEY, how="left", validate="1:1", maintain_order="left")


def _read_metadata(
    root: Path, file: Path, text: str | None, encoding: str | None
) -> Iterator[tuple[str, str | None, str]]:
    """Yield `image_id`, text and source of every row of a metadata file."""
    frame = READERS[file.suffix](file, encoding)
    if "file_name" not in frame.columns:
        msg = f"{file} has the columns {frame.columns}; it needs file_name, and text or caption"
        raise CaptionError(msg)
    others = [c for c in frame.columns if c != "file_name"]
    column = pick_column(others, text, usual=TEXT_COLUMNS, where=file)
    names = frame.select(pl.col("file_name").cast(pl.String), pl.col(column).cast(pl.String))
    for name, caption in names.drop_nulls("file_name").iter_rows():
        yield picture_id(root, file, name), caption, file.relative_to(root).as_posix()


def _sidecars(root: Path, pictures: pl.Series, encoding: str | None) -> Iterator[tuple[str, str, str]]:
    """Yield `image_id`, text and source of every text file that is named like a picture."""
    for name in pictures:
        file = picture_path(f"{root}/{name}").with_suffix(".txt")
        if file.is_file():
            yield name, decode_text(file, encoding).strip(), file.name
