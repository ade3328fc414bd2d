"""What is known of the pictures beside their labels: true attributes, and columns on licence and consent."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.captions import metadata_files
from facestats.core.tables import KEY, TableError
from facestats.core.textfiles import READERS, CaptionError, read_table

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from facestats.core.config import AttributeSettings

PREFIX = "true_"
_RIGHTS = ("licence", "license", "consent", "copyright", "rights", "source")


def read_truth(source: str | os.PathLike[str], attributes: Mapping[str, AttributeSettings]) -> pl.DataFrame:
    """Read what is known of the pictures, to score labels against.

    Parameters
    ----------
    source
        A folder of pictures, whose ``metadata.csv`` (or .jsonl, .parquet) has columns ``true_<attribute>``; or a
        file (CSV, TSV, JSON Lines, Parquet) with `image_id` or `file_name` and columns ``<attribute>`` or
        ``true_<attribute>``.
    attributes
        ``cfg.attributes``: what the options are.

    Returns
    -------
    `image_id` and, per attribute `a` that is known of at least one picture, `true_a` (Enum in the order of the
    options, null where unknown); no such column, and no row, where nothing is known.

    Raises
    ------
    TableError
        If the file cannot be read, names a picture twice, or holds a value that is no option.
    """
    path = Path(source)
    try:
        frame = _metadata(path) if path.is_dir() else _named(read_table(path), path)
    except CaptionError as error:
        raise TableError(str(error)) from error
    columns = {KEY: pl.col(KEY).cast(pl.String)}
    for name, attribute in attributes.items():
        # in a file given as truth a bare name is truth; in the metadata of pictures it could be anything
        names = (f"{PREFIX}{name}",) if path.is_dir() else (f"{PREFIX}{name}", name)
        if found := next((c for c in names if c in frame.columns), None):
            options = list(attribute.options)
            columns[f"{PREFIX}{name}"] = _options(frame[found], options, f"{path}, column {found!r}")
    truth = frame.select(**columns)
    if truth[KEY].is_duplicated().any():
        twice = truth.filter(pl.col(KEY).is_duplicated())[KEY][0]
        msg = f"{path}: {twice!r} is named twice; the truth has one row per picture"
        raise TableError(msg)
    known = [s.name for s in truth if s.name != KEY and s.null_count() < len(s)]
    rows = truth.select(KEY, *known)
    return rows.filter(pl.any_horizontal(pl.col(known).is_not_null())) if known else rows.clear()


def read_rights(folder: str | os.PathLike[str]) -> pl.DataFrame:
    """Count what the metadata beside the pictures says of licence, consent and origin.

    Returns
    -------
    `column`, `value` (null where a picture says nothing) and `n`; no rows where there is no such column.
    """
    frame = _metadata(Path(folder))
    parts = [
        frame.select(column=pl.lit(c), value=pl.col(c).cast(pl.String).replace("", None))
        for c in frame.columns
        if any(word in c.lower() for word in _RIGHTS)
    ]
    if not parts:
        return pl.DataFrame(schema={"column": pl.String, "value": pl.String, "n": pl.UInt32})
    counts = pl.concat(parts).group_by("column", "value", maintain_order=True).agg(n=pl.len())
    return counts.sort("column", "n", descending=[False, True])


def _metadata(folder: Path) -> pl.DataFrame:
    """Bind all metadata files below a folder, with `image_id` from `file_name`."""
    frames = []
    for file in metadata_files(folder):
        place = file.parent.relative_to(folder).as_posix()
        frame = _named(READERS[file.suffix](file, None), file)
        ids = [posixpath.normpath(posixpath.join(place, str(name).replace("\\", "/"))) for name in frame[KEY]]
        frames.append(frame.with_columns(pl.Series(KEY, ids)).cast(pl.String))
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame(schema={KEY: pl.String})


def _named(frame: pl.DataFrame, file: Path) -> pl.DataFrame:
    if KEY in frame.columns:
        return frame
    if "file_name" not in frame.columns:
        msg = f"{file} has neither {KEY} nor file_name; it has {frame.columns}"
        raise TableError(msg)
    return frame.rename({"file_name": KEY})


def _options(values: pl.Series, options: list[str], where: str) -> pl.Expr:
    text = values.cast(pl.String).str.strip_chars().replace("", None)
    if strange := sorted(set(text.drop_nulls()) - set(options)):
        msg = f"{where} holds {strange[:5]}, which are no options; these are {options}. Map them, or leave them empty."
        raise TableError(msg)
    return pl.lit(text.cast(pl.Enum(options)))
