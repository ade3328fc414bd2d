"""Data sets that are stored in other files than pictures: tars, tables, `save_to_disk`, the Hugging Face hub."""

from __future__ import annotations

import logging
import re
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.inputs.dataset_rows import (
    IMAGE_COLUMNS,
    Columns,
    Row,
    make_row,
    pick_columns,
    read_below,
    too_large,
)
from facestats.inputs.listing import SUFFIXES
from facestats.inputs.splits import ALL, choose_split
from facestats.inputs.tar_files import read_tar
from facestats.inputs.textfiles import READERS, CaptionError, read_table
from facestats.pictures.decode import MAX_BYTES, PictureError

if TYPE_CHECKING:
    import os
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator

log = logging.getLogger(__name__)

TAR = ".tar"
PARQUET = ".parquet"
ARROW_FILES = ("dataset_info.json", "dataset_dict.json")  # of `save_to_disk`
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILES = {*READERS, *SUFFIXES, TAR, PARQUET, ".json", ".arrow", ".gz", ".tgz", ".zip", ".xlsx", ".yaml"}
_ROWS_AT_ONCE = 64


def is_hub_name(source: str | os.PathLike[str]) -> bool:
    """Return whether `source` is a name like ``org/name`` that is no path: what exists here is never looked up there.

    A missing path is not a name either: one that begins with a point, a tilde or a folder that exists, or that ends
    like a file.
    """
    name = str(source)
    return (
        isinstance(source, str)
        and bool(_HUB_NAME.fullmatch(name))
        and not Path(name).exists()
        and not Path(name.partition("/")[0]).is_dir()
        and Path(name).suffix.lower() not in _FILES
    )


def check_revision(source: object, revision: str | None) -> None:
    """Raise CaptionError if a revision of a local file or folder is asked for."""
    if revision is not None and not is_hub_name(str(source)):
        msg = (
            f"only data sets of the Hugging Face hub (org/name) have revisions; leave the revision {revision!r} of"
            f" {str(source)!r} out"
        )
        raise CaptionError(msg)


def check_exists(path: Path, source: object) -> None:
    """Raise FileNotFoundError if there is no such path."""
    if path.exists():
        return
    where = f"there is no file or folder {str(source)!r} here. Correct the path"
    msg = f"{where}; a data set of the Hugging Face hub is named org/name, such as nielsr/CelebA-faces"
    raise FileNotFoundError(msg)


def has_pictures(table: Path) -> bool:
    """Return whether a Parquet file holds pictures itself."""
    return bool(_pictures_in(_schema(table)))


def read_files(
    files: Iterable[Path],
    root: Path,
    *,
    image: str | None,
    text: str | None,
    left_out: Counter[str],
) -> Iterator[Row]:
    """Read tars and tables one after another; the columns of every table are chosen before the first row is read."""
    chosen = [(file, None if file.suffix.lower() == TAR else _choose(file, image, text)) for file in files]

    def rows() -> Iterator[Row]:
        for file, columns in chosen:
            if columns is None:
                prefix = "" if file == root else f"{file.relative_to(root).with_suffix('').as_posix()}/"
                yield from read_tar(file, prefix=prefix, left_out=left_out)
            elif file.suffix.lower() == PARQUET:
                yield from _read_parquet(file, root if root.is_dir() else root.parent, columns)
            else:
                yield from (make_row(v, columns, Row) for v in read_table(file).iter_rows(named=True))

    return rows()


def open_arrow(
    folder: Path, *, split: str | None, image: str | None, text: str | None
) -> tuple[Iterator[Row], str, list[str]]:
    """Open what `save_to_disk` of the library datasets wrote: its rows, the split that is read, and the others."""
    datasets = _library()
    try:
        opened = datasets.load_from_disk(str(folder))
    except (OSError, ValueError, RuntimeError) as error:
        raise _cannot_open(folder, error) from error
    splits = dict(opened) if isinstance(opened, dict) else {}
    chosen = choose_split(splits, split, where=folder)
    parts = list(splits.values()) if chosen == ALL else [splits[chosen]]
    parts = parts or [opened]
    rows = _chain(
        parts, folder, image, text, read=lambda path: read_below((folder,), path, name=_inside(path))
    )
    return rows, chosen, [name for name in splits if chosen not in {name, ALL}]


def open_hub(
    name: str, *, revision: str | None, split: str | None, image: str | None, text: str | None
) -> tuple[Iterator[Row], str, list[str]]:
    """Open a data set of the Hugging Face hub as a stream: its rows, the split that is read, and the others."""
    datasets = _library()
    from huggingface_hub.errors import HTTPError

    try:
        opened = datasets.load_dataset(name, streaming=True, revision=revision)
    except (OSError, HTTPError, ValueError, RuntimeError, ImportError) as error:
        raise _cannot_open(f"{name}@{revision}" if revision else name, error) from error
    splits = dict(opened) if isinstance(opened, dict) else {"": opened}
    chosen = choose_split(splits, split, where=name)
    parts = list(splits.values()) if chosen == ALL else [splits[chosen]]
    # the library would otherwise decode pictures itself, in this process, and open any path that a row names
    parts = [part.decode(enable=False) if part.features else part for part in parts]
    rows = _chain(parts, name, image, text, read=lambda path: _read_from_hub(path, name))
    return rows, chosen, [other for other in splits if chosen not in {other, ALL}]


def _choose(table: Path, image: str | None, text: str | None) -> Columns:
    """Choose the columns of a table, and log them."""
    if table.suffix.lower() == PARQUET:
        schema = _schema(table)
        columns = pick_columns(list(schema), _pictures_in(schema), image=image, text=text, where=table)
    else:
        columns = pick_columns(read_table(table).columns, [], image=None, text=text, where=table)
    log.info("%s: reading pictures from column %r, texts from column %r", table, columns.image, columns.text)
    return columns


def _schema(table: Path) -> pl.Schema:
    try:
        return pl.scan_parquet(table, glob=False).collect_schema()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        msg = f"{table} cannot be read as Parquet: {str(error).splitlines()[0]}"
        raise CaptionError(msg) from error


def _pictures_in(schema: pl.Schema) -> list[str]:
    """List the columns that hold pictures: bytes, or the structs of bytes and path of the library datasets."""
    return [
        name
        for name, kind in schema.items()
        if kind == pl.Binary
        or (isinstance(kind, pl.Struct) and {"bytes", "path"} & {field.name for field in kind.fields})
    ]


def _read_parquet(file: Path, root: Path, columns: Columns) -> Iterator[Row]:
    """Read a Parquet file part by part, with one group of its rows in memory at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def read(path: str) -> Row:
        return read_below((file.parent, root), path, name=path)

    n = 0
    try:
        with pq.ParquetFile(file) as opened:
            wanted = [column for column in columns if column]
            # a picture may have a hundred million bytes, which a Parquet file can hold in a thousand
            at_once = 1 if columns.image else _ROWS_AT_ONCE
            for batch in opened.iter_batches(batch_size=at_once, columns=wanted):
                for values in batch.to_pylist():
                    yield make_row(values, columns, read)
                    n += 1
    except (OSError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        problem = PictureError(
            status="corrupt", text=f"the table is damaged after {n:,} rows ({first}); copy it again"
        )
        yield Row(file.name, problem=problem)


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        error.add_note("Reading this data set needs the library datasets: pip install datasets")
        raise
    datasets.disable_progress_bars()
    return datasets


def _cannot_open(source: object, error: Exception) -> CaptionError:
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return CaptionError(
        f"the data set {str(source)!r} cannot be opened: {first.rstrip('.')}. Give its name on the Hugging Face hub"
        " (org/name) and a revision that it has there, or a local folder; without network, only data sets that are"
        " already in HF_HOME can be read."
    )


def _read_from_hub(path: str, repository: str) -> Row:
    """Read a picture that a row names by its address in the repository of the data set, or in an archive there."""
    from datasets.utils.file_utils import xopen

    name = _inside(path)
    address = path.rpartition("::")[2]
    if not address.startswith((f"hf://datasets/{repository}@", f"hf://datasets/{repository}/")):
        text = f"the data set names the picture {path[:200]!r}, which is no file of {repository}"
        return Row(name, problem=PictureError(status="vanished", text=text))
    try:
        with xopen(path, "rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
        text = f"the picture could not be read from the hub ({type(error).__name__}); run again"
        return Row(name, problem=PictureError(status="unreadable", text=text))
    return Row(name, problem=too_large(len(data))) if len(data) > MAX_BYTES else Row(name, image=data)


def _chain(
    parts: list[Any], source: object, image: str | None, text: str | None, *, read: Callable[[str], Row]
) -> Iterator[Row]:
    """Read data sets of the library datasets one after another; the columns are chosen at once."""
    chosen = []
    for part in parts:
        columns = list(part.features or next(iter(part), {}))
        pictures = [c for c in columns if type((part.features or {}).get(c)).__name__ == "Image"]
        pictures = pictures or [c for c in columns if c.lower() in IMAGE_COLUMNS]
        found = pick_columns(columns, pictures, image=image, text=text, where=source)
        log.info("%s: reading pictures from column %r, texts from column %r", source, found.image, found.text)
        chosen.append((_undecoded(part, found), found))

    def rows() -> Iterator[Row]:
        from huggingface_hub.errors import HTTPError

        n = 0
        try:
            for part, columns in chosen:
                for values in part:
                    yield make_row(values, columns, read)
                    n += 1
        except (OSError, HTTPError, ValueError, RuntimeError) as error:
            msg = f"the data set {str(source)!r} could not be read after {n} rows: {error}. Run again to continue."
            raise CaptionError(msg) from error

    return rows()


def _undecoded(part: Any, columns: Columns) -> Any:
    """Keep the columns to read, and leave pictures encoded, so that a broken one does not end the stream."""
    import datasets

    part = part.select_columns([column for column in columns if column])
    return part.cast_column(columns.image, datasets.Image(decode=False)) if columns.image else part


def _inside(path: str) -> str:
    """Name a picture by its path within an archive, or by its file name."""
    inside = path.rpartition("::")[0].rpartition("//")[2] or path
    return Path(inside).name if Path(inside).is_absolute() or "://" in inside else inside
