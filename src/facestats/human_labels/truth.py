"""What is known of the pictures beside their labels: true attributes, who it is, licence and consent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY, TRUE_PREFIX, TableError
from facestats.human_labels.answers_file import LabelError
from facestats.human_labels.labels import read as read_labels
from facestats.inputs.metadata import name_rows, read_metadata
from facestats.inputs.textfiles import CaptionError, read_table

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from facestats.core.config import AttributeSettings


def read_truth(source: str | os.PathLike[str], attributes: Mapping[str, AttributeSettings]) -> pl.DataFrame:
    """Read what is known of the pictures, to score labels against.

    Parameters
    ----------
    source
        A folder of pictures, whose ``metadata.csv`` (or .jsonl, .parquet) has columns ``true_<attribute>``; or a
        file (CSV, TSV, JSON Lines, Parquet) with `image_id` or `file_name` and columns ``<attribute>`` or
        ``true_<attribute>``, in any case, or with the title (``Hair_Color``); or a CSV of answers as
        :func:`facestats.human_labels.read` reads it, of which the majority counts.
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
        frame = read_metadata(path) if path.is_dir() else _file(path, attributes)
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
            f" {list(attributes)}, with or without {TRUE_PREFIX!r} before them. Rename its columns."
        )
        raise TableError(msg)
    columns = {KEY: pl.col(KEY).cast(pl.String)}
    for name, column in found.items():
        where = f"{path}, column {column!r}"
        columns[f"{TRUE_PREFIX}{name}"] = _options(frame[column], list(attributes[name].options), where)
    truth = frame.select(**columns)
    if truth[KEY].is_duplicated().any():
        twice = truth.filter(pl.col(KEY).is_duplicated())[KEY][0]
        msg = f"{path}: {twice!r} is named twice; the truth has one row per picture"
        raise TableError(msg)
    known = [s.name for s in truth if s.name != KEY and s.null_count() < len(s)]
    rows = truth.select(KEY, *known)
    return rows.filter(pl.any_horizontal(pl.col(known).is_not_null())) if known else rows.clear()


def _file(path: Path, attributes: Mapping[str, AttributeSettings]) -> pl.DataFrame:
    """Read a file of truth; answers of people, a row each, become a column per attribute."""
    frame = read_table(path)
    if not {"attribute", "value"} <= set(frame.columns):
        return name_rows(frame, path)
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
    exact = [f"{TRUE_PREFIX}{name}", *([name] if bare else [])]
    if known := next((c for c in exact if c in columns), None):
        return known
    loose = {n.casefold() for n in (*exact, f"{TRUE_PREFIX}{title}", *([title] if bare else []))}
    return next((c for c in columns if c.strip().replace(" ", "_").casefold() in loose), None)


def _options(values: pl.Series, options: list[str], where: str) -> pl.Expr:
    text = values.cast(pl.String).str.strip_chars().replace("", None)
    if strange := sorted(set(text.drop_nulls()) - set(options)):
        msg = f"{where} holds {strange[:5]}, which are no options; these are {options}. Map them, or leave them empty."
        raise TableError(msg)
    return pl.lit(text.cast(pl.Enum(options)))
