"""The true attributes of pictures, read from metadata, a table or a file of answers."""

from __future__ import annotations

import logging
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.display import list_columns
from facestats.core.tables import KEY, TRUE_PREFIX, TableError
from facestats.human_labels.answers_file import LabelError
from facestats.human_labels.labels import find_option
from facestats.human_labels.labels import read as read_labels
from facestats.inputs.matching import match_rows
from facestats.inputs.metadata import merge_rows, name_rows, read_metadata
from facestats.inputs.textfiles import CaptionError, read_table

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from facestats.core.attribute_settings import AttributeSettings

log = logging.getLogger(__name__)


def read_truth(
    source: str | os.PathLike[str],
    attributes: Mapping[str, AttributeSettings],
    *,
    pictures: str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """Read the true attributes of pictures, to score labels against.

    Parameters
    ----------
    source
        One of three:

        - a folder of pictures, whose ``metadata.csv`` (or .jsonl, .parquet) has columns ``true_<attribute>``;
        - a file (CSV, TSV, JSON Lines, Parquet) with `image_id` or `file_name`, and columns ``<attribute>`` or
          ``true_<attribute>``, in upper or lower case, or with the title of the attribute (``Hair_Color``);
        - a CSV of answers as :func:`facestats.human_labels.read` reads it, of which the majority counts.
    attributes
        ``cfg.attributes``: the valid attributes and options.
    pictures
        Folder of the pictures that a file of truth names, ``cfg.raw_dir``; by default its names are taken as they are.

    Returns
    -------
    `image_id` (String) and `true_a` (Enum in the order of the options, null where unknown) for each attribute `a` that
    is known for at least one picture. Pictures about which nothing is known are left out.

    Raises
    ------
    TableError
        If the file cannot be read, has no column of an attribute, names a picture twice, or holds a value that is not
        an option.

    Examples
    --------
    >>> import tempfile
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     project.truth.rename({"true_age": "Age"}).write_csv(f"{folder}/truth.csv")
    ...     truth = fs.human_labels.read_truth(f"{folder}/truth.csv", project.attributes)
    >>> truth.equals(project.truth)
    True
    """
    path = Path(source)
    try:
        frame = read_metadata(path) if path.is_dir() else _read_truth_file(path, attributes)
        if not path.is_dir():
            frame = match_rows(frame.with_columns(pl.col(KEY).cast(pl.String)), pictures, file=path)
    except CaptionError as error:
        raise TableError(str(error)) from error
    # in a file of truth, a column without the prefix is truth too; in the metadata of pictures it may be anything else
    found = {
        name: column
        for name, attribute in attributes.items()
        if (column := _find_column(frame.columns, name, attribute.title, allow_bare=not path.is_dir()))
    }
    if not found and not path.is_dir():
        msg = (
            f"{path} has no column of an attribute: it has the columns {frame.columns}, expected are some of"
            f" {list(attributes)}, with or without the prefix {TRUE_PREFIX!r}. Rename its columns."
        )
        raise TableError(msg)
    if path.is_dir():
        _say_what_is_not_read(frame.columns, found, attributes, path)
    if found and path.is_dir():
        frame = merge_rows(frame.select(KEY, *dict.fromkeys(found.values())), path)
    columns = {KEY: pl.col(KEY).cast(pl.String)}
    for name, column in found.items():
        where = f"{path}, column {column!r}"
        columns[f"{TRUE_PREFIX}{name}"] = _to_enum(frame[column], list(attributes[name].options), where)
    truth = frame.select(**columns)
    if truth[KEY].is_duplicated().any():
        twice = truth.filter(pl.col(KEY).is_duplicated())[KEY][0]
        msg = f"{path}: {twice!r} is named twice; the truth has one row per picture. Delete all rows of it but one."
        raise TableError(msg)
    known = [s.name for s in truth if s.name != KEY and s.null_count() < len(s)]
    rows = truth.select(KEY, *known)
    return rows.filter(pl.any_horizontal(pl.col(known).is_not_null())) if known else rows.clear()


def _read_truth_file(path: Path, attributes: Mapping[str, AttributeSettings]) -> pl.DataFrame:
    """Read a file of truth; a file with one answer per row gets one column per attribute."""
    frame = read_table(path)
    if not {"attribute", "value"} <= {c.casefold() for c in frame.columns}:
        frame = name_rows(frame, path)
        # in a table of labels that a model gave, only the columns true_... are truth
        made = _marks_of_a_model(frame.columns, attributes)
        if not made:
            return frame
        known = [c for c in frame.columns if c.strip().casefold().startswith(TRUE_PREFIX)]
        if not known:
            msg = (
                f"{path} holds labels that a model gave (it has {list_columns(made[:2])}), and no column"
                f" {TRUE_PREFIX}... Labels cannot be tested against themselves: give what people know."
            )
            raise TableError(msg)
        return frame.select(KEY, *known)
    if path.suffix.lower() not in (".csv", ".tsv"):
        msg = (
            f"{path} has one row per answer, which is supported for CSV only. Save it as CSV, or with one column per"
            " attribute."
        )
        raise TableError(msg)
    try:
        labels = read_labels(path, attributes).drop_nulls("value")
    except LabelError as error:
        raise TableError(str(error)) from error
    if labels.is_empty():
        return pl.DataFrame(schema={KEY: pl.String, **dict.fromkeys(attributes, pl.String)})
    return labels.pivot("attribute", index=KEY, values="value", maintain_order=True)


def _marks_of_a_model(columns: list[str], attributes: Iterable[str]) -> list[str]:
    """Columns that `facestats export` or `facestats extract` writes beside labels, and that people have no use for."""
    if {"error", "warning"} <= {*columns}:
        return ["error", "warning"]
    ends = ("_score", "_source", "_margin", "_conflict", "_probs")
    return [c for c in columns if c in {f"{a}{end}" for a in attributes for end in ends}]


def _say_what_is_not_read(
    columns: list[str], found: Mapping[str, str], attributes: Mapping[str, AttributeSettings], path: Path
) -> None:
    """Name the columns of the metadata that look like truth and are not called so."""
    missed = {}
    for name, attribute in attributes.items():
        bare = _find_column(columns, name, attribute.title, allow_bare=True)
        if bare is not None and name not in found:
            missed[bare] = f"{TRUE_PREFIX}{name}"
    unknown = [c for c in columns if c.casefold().startswith(TRUE_PREFIX) and c not in found.values()]
    if missed:
        renamed = ", ".join(f"{bare} (rename it {true})" for bare, true in missed.items())
        log.warning("%s: these columns of the metadata are not read as truth: %s", path, renamed)
    if unknown:
        for column in unknown:
            near = get_close_matches(column.casefold(), [f"{TRUE_PREFIX}{name}" for name in attributes], n=1)
            log.warning(
                "%s: the column %s belongs to no attribute and is not read%s; the attributes are %s",
                path,
                column,
                f" (did you mean {near[0]}?)" if near else "",
                ", ".join(attributes),
            )


def _find_column(columns: list[str], name: str, title: str, *, allow_bare: bool) -> str | None:
    """Return the column of an attribute: the exact name first, then any case, spaces or the title."""
    for prefix in (TRUE_PREFIX, "") if allow_bare else (TRUE_PREFIX,):
        if f"{prefix}{name}" in columns:
            return f"{prefix}{name}"
        loose = {f"{prefix}{n}".replace(" ", "_").casefold() for n in (name, title)}
        if found := [c for c in columns if c.strip().replace(" ", "_").casefold() in loose]:
            return found[0]
    return None


def _to_enum(values: pl.Series, options: list[str], where: str) -> pl.Expr:
    """Turn texts into an Enum of the options, empty ones into null; TableError for any other text."""
    text = values.cast(pl.String).str.strip_chars().replace("", None)
    text = text.replace({t: find_option(t, options) or t for t in text.drop_nulls().unique()})
    if unknown := sorted(set(text.drop_nulls()) - set(options)):
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        msg = (
            f"{where} holds {list_columns(unknown[:5])}{more}, which {'is no option' if len(unknown) == 1 else 'are no options'};"
            f" the options are {', '.join(options)}. Replace these values by options, leave them"
            " empty, or, if they are something else (an age in years), give the column a name without true_: it is"
            " exported as it is."
        )
        raise TableError(msg)
    return pl.lit(text.cast(pl.Enum(options)))
