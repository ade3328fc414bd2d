"""Stream Hugging Face data sets, by name or from a local folder: encoded pictures and texts."""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.tables import KEY
from facestats.inputs.textfiles import TEXT_COLUMNS, CaptionError, as_text, pick_column
from facestats.pictures.decode import sniff

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

IMAGE_COLUMNS = ("image", "img", "picture", "photo", "face")
_DATA_FILES = ("*.parquet", "*.arrow", "*.tar")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
BATCH = 1000


def is_dataset(source: str | os.PathLike[str]) -> bool:
    """Return whether `source` is a data set: a name like ``org/name`` that is no local path, or a folder of data files.

    A folder that holds pictures as files is not a data set here, but a folder of pictures.
    """
    path = Path(source).expanduser()
    if not path.exists():
        return isinstance(source, str) and bool(_HUB_NAME.fullmatch(source)) and source.count("/") == 1
    if not path.is_dir():
        return False
    data = any(True for pattern in _DATA_FILES for _ in path.rglob(pattern))
    return data and not any(_is_picture(file) for file in path.rglob("*") if file.is_file())


def read_dataset(
    source: str,
    *,
    split: str | None = None,
    text: str | None = None,
    image: str | None = None,
    n_rows: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[pl.DataFrame]:
    """Read a data set in batches; pictures are not decoded, so that a broken one does not end the stream.

    Parameters
    ----------
    source
        ``org/name`` on the Hugging Face hub, or a local folder (imagefolder, Parquet, CSV, JSON Lines, WebDataset).
    split
        Split to read, such as ``train``; by default the first one, which is then logged.
    text, image
        Columns of the texts and the pictures; by default guessed by name and type, which is then logged. A data set
        may have only one of the two.
    n_rows
        Largest number of rows to read; by default all.
    batch_size
        Largest number of rows per frame; their encoded pictures are in memory together.

    Yields
    ------
    Frames of `image_id` (String: the picture's path within the data set, or a hash of its content), `text` (String)
    and `image` (Binary: the encoded file).

    Raises
    ------
    CaptionError
        If the data set cannot be opened, or lacks a split or column that was asked for; the message lists those that
        exist.

    Examples
    --------
    >>> import facestats as fs
    >>> folder = str(fs.testing.example_project().raw_dir)
    >>> batch = next(fs.read_dataset(folder, n_rows=2))
    >>> batch.schema.names(), batch.height
    (['image_id', 'text', 'image'], 2)
    """
    rows = _open(source, split)
    columns = list(rows.features or next(iter(rows), {}))
    picture = _image_column(rows, columns, image, source)
    words = _text_column([c for c in columns if c != picture], text, source, needed=picture is None)
    rows = rows.select_columns([c for c in (picture, words) if c])
    if picture is not None:
        import datasets

        rows = rows.cast_column(picture, datasets.Image(decode=False))
    seen: dict[str, int] = {}
    source_rows: Iterable[dict[str, Any]] = itertools.islice(_iterate(rows, source), n_rows)
    for batch in _batched(source_rows, batch_size):
        yield _to_frame(batch, picture, words, root=source, seen=seen)


def content_ids(values: pl.Series) -> pl.Series:
    """Name values by the first 16 hexadecimal digits of their SHA-256; repeated values get a number as suffix."""
    names = pl.Series("id", [_digest(v) for v in values], dtype=pl.String)
    numbered = pl.DataFrame({"id": names}).select(
        pl.when(pl.int_range(pl.len()).over("id") > 0)
        .then(pl.col("id") + "-" + (pl.int_range(pl.len()).over("id") + 1).cast(pl.String))
        .otherwise("id")
        .alias("id")
    )
    return numbered["id"]


def _digest(value: str | bytes | None) -> str:
    data = value.encode() if isinstance(value, str) else value or b""
    return hashlib.sha256(data).hexdigest()[:16]


def _open(source: str, split: str | None) -> Any:
    """Open one split of a data set as a stream."""
    try:
        import datasets
    except ImportError as error:
        error.add_note("Reading data sets needs the library datasets: pip install datasets")
        raise
    folder = Path(source).expanduser()
    datasets.disable_progress_bars()
    try:
        if folder.is_dir() and (folder / "dataset_info.json").is_file():
            opened = datasets.load_from_disk(str(folder)).to_iterable_dataset()
        elif folder.is_dir() and any(_is_picture(file) for file in folder.rglob("*")):
            opened = datasets.load_dataset("imagefolder", data_dir=str(folder), streaming=True)
        else:
            opened = datasets.load_dataset(str(folder) if folder.is_dir() else source, streaming=True)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        msg = (
            f"the data set {source!r} cannot be opened: {first}. Give its name on the Hugging Face hub (org/name), or a"
            " local folder; without network, only data sets that are already in HF_HOME can be read."
        )
        raise CaptionError(msg) from error
    if not isinstance(opened, dict):
        return opened
    name = split or next(iter(opened))
    if name not in opened:
        msg = f"the data set {source!r} has no split {split!r}; it has {list(opened)}"
        raise CaptionError(msg)
    if len(opened) > 1 and split is None:
        log.info("%s: reading split %r of %s", source, name, list(opened))
    return opened[name]


def _image_column(rows: Any, columns: list[str], wanted: str | None, source: str) -> str | None:
    if wanted is not None:
        return pick_column(columns, wanted, usual=IMAGE_COLUMNS, where=source)
    kinds = [c for c in columns if type((rows.features or {}).get(c)).__name__ == "Image"]
    named = [c for c in columns if c.lower() in IMAGE_COLUMNS]
    found = next(iter(kinds or named), None)
    if found is not None:
        log.info("%s: reading pictures from column %r of %s", source, found, columns)
    return found


def _text_column(columns: list[str], wanted: str | None, source: str, *, needed: bool) -> str | None:
    if wanted is None and not needed and not {c.lower() for c in columns} & set(TEXT_COLUMNS):
        return None
    return pick_column(columns, wanted, usual=TEXT_COLUMNS, where=source)


def _iterate(rows: Any, source: str) -> Iterator[dict[str, Any]]:
    """Yield rows; if reading fails, raise CaptionError with the number of rows read."""
    n = 0
    try:
        for row in rows:
            yield row
            n += 1
    except (OSError, ValueError, RuntimeError) as error:
        msg = f"the data set {source!r} could not be read after {n} rows: {error}. Run again to continue."
        raise CaptionError(msg) from error


def _batched(rows: Iterable[dict[str, Any]], size: int) -> Iterator[tuple[dict[str, Any], ...]]:
    stream = iter(rows)
    while batch := tuple(itertools.islice(stream, size)):
        yield batch


def _to_frame(
    batch: tuple[dict[str, Any], ...],
    picture: str | None,
    words: str | None,
    *,
    root: str,
    seen: dict[str, int],
) -> pl.DataFrame:
    """Turn rows into a frame with unique names; `seen` counts the names of all batches."""
    ids, texts, pictures = [], [], []
    for row in batch:
        content, path = _encoded_picture(row[picture]) if picture else (None, None)
        text = as_text(row[words]) if words else None
        name = _name_in_dataset(path, root) or _digest(content if content is not None else text)
        seen[name] = seen.get(name, 0) + 1
        ids.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
        texts.append(text)
        pictures.append(content)
    schema = {KEY: pl.String, "text": pl.String, "image": pl.Binary}
    return pl.DataFrame({KEY: ids, "text": texts, "image": pictures}, schema=schema)


def _encoded_picture(value: Any) -> tuple[bytes | None, str | None]:
    """Return the bytes and the path of an encoded picture; the bytes are None if the file cannot be read."""
    if not isinstance(value, dict):
        return None, None
    content, path = value.get("bytes"), value.get("path")
    if content is None and path:
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            log.warning("the picture %s of the data set cannot be read: %s", path, error.strerror)
    return content, path


def _name_in_dataset(path: str | None, root: str) -> str | None:
    """Name a picture by its path within the data set; None if the path lies outside of it."""
    if not path:
        return None
    folder = Path(root).expanduser()
    if folder.is_dir() and Path(path).is_absolute() and Path(path).is_relative_to(folder.absolute()):
        return Path(path).relative_to(folder.absolute()).as_posix()
    inside = path.rpartition("::")[0].rpartition("//")[2] or path
    return inside if not PurePosixPath(inside).is_absolute() and "://" not in inside else None


def _is_picture(file: Path) -> bool:
    if file.suffix.lower() in {".parquet", ".arrow", ".csv", ".json", ".jsonl", ".txt", ".md", ".tar"}:
        return False
    try:
        with file.open("rb") as opened:
            return sniff(opened.read(512))[0] == "picture"
    except OSError:
        return False
