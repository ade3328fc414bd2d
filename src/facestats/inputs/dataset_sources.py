"""Open a data set of any kind and read it in batches."""

from __future__ import annotations

import itertools
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.display import count_of
from facestats.inputs.dataset_rows import to_frames
from facestats.inputs.listing import list_images
from facestats.inputs.local_files import find_files, open_files
from facestats.inputs.stored_datasets import (
    ARROW_FILES,
    PARQUET,
    TAR,
    check_exists,
    check_revision,
    is_hub_name,
    open_arrow,
    open_hub,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from facestats.inputs.local_files import CaptionsOf

log = logging.getLogger(__name__)

BATCH = 1000


def is_dataset(source: str | os.PathLike[str]) -> bool:
    """Return whether `source` is a data set: a name like ``org/name`` that is no local path, or a folder of data files.

    A folder that holds pictures as files is not a data set here, but a folder of pictures.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        return is_hub_name(source)
    if any((path / name).is_file() for name in ARROW_FILES):
        return True
    if not any(file.suffix.lower() in {TAR, PARQUET} for file in path.rglob("*")):
        return False
    try:
        return list_images(path).is_empty()
    except FileNotFoundError:
        return True


def read_source(  # noqa: PLR0913 - each is an option
    source: str,
    *,
    split: str | None = None,
    revision: str | None = None,
    text: str | None = None,
    image: str | None = None,
    n_rows: int | None = None,
    batch_size: int = BATCH,
    report: Callable[[str], None] = log.warning,
    captions_of: CaptionsOf | None = None,
) -> Iterator[pl.DataFrame]:
    """Read a data set as :func:`facestats.read_dataset` does; `captions_of` reads the captions of a folder of pictures."""
    check_revision(source, revision)
    left_out: Counter[str] = Counter()
    path = Path(source).expanduser()
    if is_hub_name(source):
        rows, chosen, others = open_hub(source, revision=revision, split=split, image=image, text=text)
        report(f"reading split {chosen!r}{_left_splits(others)}")
    else:
        check_exists(path, source)
        if path.is_dir() and any((path / name).is_file() for name in ARROW_FILES):
            rows, chosen, others = open_arrow(path, split=split, image=image, text=text)
            report(f"reading {f'split {chosen!r}' if others else 'all rows'}{_left_splits(others)}")
        else:
            files = find_files(path)
            rows = open_files(
                files,
                split=split,
                image=image,
                text=text,
                left_out=left_out,
                report=report,
                captions_of=captions_of,
            )
    frames = to_frames(itertools.islice(rows, n_rows), batch_size)
    return _counted(frames, source, left_out=left_out, report=report)


def _left_splits(others: list[str]) -> str:
    return f"; left out: the splits {others}; --split all reads all splits" if others else ""


def _counted(
    frames: Iterator[pl.DataFrame], source: str, *, left_out: Counter[str], report: Callable[[str], None]
) -> Iterator[pl.DataFrame]:
    """Pass frames on, and say at the end what was read."""
    n: Counter[str] = Counter()
    for frame in frames:
        n["row"] += frame.height
        n["picture"] += frame.height - frame["image"].null_count()
        n["text"] += frame.filter(pl.col("text").str.strip_chars() != "").height
        n["unreadable picture"] += frame.height - frame["status"].null_count()
        yield frame
    if not n["row"]:
        msg = f"nothing was read from {source!r}: it holds neither a picture nor a text"
        raise FileNotFoundError(msg)
    said = ", ".join(count_of(count, what) for what, count in n.items() if count)
    lost = ", ".join(f"{count:,} {what}" for what, count in left_out.items())
    report(f"read {said}" + (f"; left out in tars: {lost}" if lost else ""))
