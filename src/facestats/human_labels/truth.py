"""What is known of the pictures beside their labels: true attributes, who it is, licence and consent."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.human_labels.answers_file import LabelError
from facestats.inputs.captions import metadata_files
from facestats.core.tables import KEY, TableError
from facestats.inputs.textfiles import READERS, CaptionError, read_table

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
        ``true_<attribute>``, in any case, or with the title (``Hair_Color``); or a CSV of answers as
        :func:`read_labels` reads it, of which the majority counts.
    attributes
        ``cfg.attributes``: what the options are.

    Returns
    -------
    `image_id` and, per attribute `a` that is known of at least one picture, `true_a` (Enum in the order of the
    options, null where unknown); no such column, and no row, where nothing is known.

    Raises
    ------
    TableError
        If the file cannot be read, has no attribute among its columns, names a picture twice, or holds a value that
        is no option.
    """
    path = Path(source)
    try:
        frame = _metadata(path) if path.is_dir() else _file(path, attributes)
    except CaptionError as error:
        raise TableError(str(error)) from error
    # in a file given as truth a bare name is truth; in the metadata of pictures it could be anything
    found = {
        name: column
        for name, attribute in attributes.items()
        if (column := _find(frame.columns, name, attribute.title, bare=not path.is_dir()))
    }
    if not found and not path.is_dir():
        msg = (
            f"{path} speaks of no attribute: it has the columns {frame.columns}, expected are some of"
            f" {list(attributes)}, with or without {PREFIX!r} before them. Rename its columns."
        )
        raise TableError(msg)
    columns = {KEY: pl.col(KEY).cast(pl.String)}
    for name, column in found.items():
        where = f"{path}, column {column!r}"
        columns[f"{PREFIX}{name}"] = _options(frame[column], list(attributes[name].options), where)
    truth = frame.select(**columns)
    if truth[KEY].is_duplicated().any():
        twice = truth.filter(pl.col(KEY).is_duplicated())[KEY][0]
        msg = f"{path}: {twice!r} is named twice; the truth has one row per picture"
        raise TableError(msg)
    known = [s.name for s in truth if s.name != KEY and s.null_count() < len(s)]
    rows = truth.select(KEY, *known)
    return rows.filter(pl.any_horizontal(pl.col(known).is_not_null())) if known else rows.clear()


def match_truth(truth: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows of the truth whose picture is in `table`.

    Raises
    ------
    TableError
        If there is truth, but of no picture in `table`: nothing would be scored.
    """
    matched = truth.join(table.select(KEY), on=KEY, how="semi", maintain_order="left")
    if truth.height and table.height and matched.is_empty():
        msg = (
            f"none of the {truth.height} pictures with known truth, such as {truth[KEY][0]!r}, is in the table; it"
            f" names {table[KEY].head(1).to_list()} and others. Write {KEY} as the table does, relative to the folder"
            " of the pictures, or take the truth that belongs to them."
        )
        raise TableError(msg)
    return matched


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
    frame = _metadata(Path(folder))
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


def _metadata(folder: Path) -> pl.DataFrame:
    """Bind all metadata files below a folder, with `image_id` from `file_name`."""
    frames = []
    for file in metadata_files(folder):
        place = file.parent.relative_to(folder).as_posix()
        frame = _named(READERS[file.suffix](file, None), file)
        ids = [posixpath.normpath(posixpath.join(place, str(name).replace("\\", "/"))) for name in frame[KEY]]
        frames.append(frame.with_columns(pl.Series(KEY, ids)).cast(pl.String))
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame(schema={KEY: pl.String})


def _file(path: Path, attributes: Mapping[str, AttributeSettings]) -> pl.DataFrame:
    """Read a file of truth; answers of people, a row each, become a column per attribute."""
    from facestats.human_labels.labels import read_labels  # imports this module

    frame = read_table(path)
    if not {"attribute", "value"} <= set(frame.columns):
        return _named(frame, path)
    if path.suffix.lower() not in (".csv", ".tsv"):
        msg = f"{path} has a row per answer; such files are read from CSV. Save it as CSV, or with a column per attribute."
        raise TableError(msg)
    try:
        said = read_labels(path, attributes).drop_nulls("value")
    except LabelError as error:
        raise TableError(str(error)) from error
    if said.is_empty():
        return pl.DataFrame(schema={KEY: pl.String, **dict.fromkeys(attributes, pl.String)})
    return said.pivot("attribute", index=KEY, values="value", maintain_order=True)


def _find(columns: list[str], name: str, title: str, *, bare: bool) -> str | None:
    """Return the column that speaks of an attribute: exactly so called before in other case, or with its title."""
    exact = [f"{PREFIX}{name}", *([name] if bare else [])]
    if known := next((c for c in exact if c in columns), None):
        return known
    loose = {n.casefold() for n in (*exact, f"{PREFIX}{title}", *([title] if bare else []))}
    return next((c for c in columns if c.strip().replace(" ", "_").casefold() in loose), None)


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
