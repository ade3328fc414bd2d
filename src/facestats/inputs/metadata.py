"""What `metadata.csv` (or .jsonl, .parquet) beside the pictures says: who is in them, licence and consent."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY, TableError
from facestats.inputs.captions import metadata_files
from facestats.inputs.textfiles import READERS

if TYPE_CHECKING:
    import os

_RIGHTS = ("licence", "license", "consent", "copyright", "rights", "source")


def read_rights(folder: str | os.PathLike[str]) -> pl.DataFrame:
    """Count what the metadata beside the pictures says of licence, consent and origin.

    Returns
    -------
    `column`, `value` (null where a picture says nothing) and `n`; no rows where there is no such column.
    """
    frame = read_metadata(Path(folder))
    parts = [
        frame.select(column=pl.lit(c), value=pl.col(c).cast(pl.String).replace("", None))
        for c in frame.columns
        if any(word in c.lower() for word in _RIGHTS)
    ]
    if not parts:
        return pl.DataFrame(schema={"column": pl.String, "value": pl.String, "n": pl.UInt32})
    counts = pl.concat(parts).group_by("column", "value", maintain_order=True).agg(n=pl.len())
    return counts.sort("column", "n", descending=[False, True])


def read_people(folder: str | os.PathLike[str], column: str | None) -> pl.DataFrame:
    """Read who is in which picture, so that all pictures of one person stay together in a test.

    Parameters
    ----------
    folder
        Folder of pictures with ``metadata.csv`` (or .jsonl, .parquet).
    column
        Its column that names the person: ``cfg.ratings.person``; None reads nothing.

    Returns
    -------
    `image_id` and `column` (String, null where nobody is named), a row per picture in the metadata; without
    a `column`, `image_id` alone and no rows.

    Raises
    ------
    TableError
        If there is no such column, or a picture is named twice.
    """
    if column is None:
        return pl.DataFrame(schema={KEY: pl.String})
    frame = read_metadata(Path(folder))
    if column not in frame.columns or column == KEY:
        found = [c for c in frame.columns if c != KEY] or "no such file, or no column"
        msg = (
            f"the metadata.csv in {folder} has no column {column!r} that names the person; it has {found}. Add the"
            " column, or change ratings.person in the configuration."
        )
        raise TableError(msg)
    if frame[KEY].is_duplicated().any():
        twice = frame.filter(pl.col(KEY).is_duplicated())[KEY][0]
        msg = f"the metadata in {folder} names {twice!r} twice; keep one row per picture"
        raise TableError(msg)
    return frame.select(KEY, pl.col(column).str.strip_chars().replace("", None))


def read_metadata(folder: Path) -> pl.DataFrame:
    """Bind all metadata files below a folder, with `image_id` from `file_name`."""
    frames = []
    for file in metadata_files(folder):
        place = file.parent.relative_to(folder).as_posix()
        frame = name_rows(READERS[file.suffix](file, None), file)
        ids = [posixpath.normpath(posixpath.join(place, str(name).replace("\\", "/"))) for name in frame[KEY]]
        frames.append(frame.with_columns(pl.Series(KEY, ids)).cast(pl.String))
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame(schema={KEY: pl.String})


def name_rows(frame: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Return the frame with its `file_name` as `image_id`; a TableError if it has neither."""
    if KEY in frame.columns:
        return frame
    if "file_name" not in frame.columns:
        msg = f"{file} has neither {KEY} nor file_name; it has {frame.columns}"
        raise TableError(msg)
    return frame.rename({"file_name": KEY})
