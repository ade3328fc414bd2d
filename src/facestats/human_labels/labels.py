"""Labels given by people: their answers are checked against the options and combined by majority."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY, TRUE_PREFIX
from facestats.human_labels.answers_file import REASONS, LabelError, parse_time, read_lines
from facestats.inputs.matching import match_rows
from facestats.inputs.textfiles import CaptionError

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from facestats.core.attribute_settings import AttributeSettings

log = logging.getLogger(__name__)

_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    KEY: pl.String,
    "attribute": pl.String,
    "value": pl.String,
    "labeller": pl.String,
    "time": pl.Datetime("us", "UTC"),
    "reason": pl.String,
}


def read(
    file: str | os.PathLike[str],
    attributes: Mapping[str, AttributeSettings],
    *,
    truth: pl.DataFrame | None = None,
    people: pl.DataFrame | None = None,
    pictures: str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """Read what people said about pictures, as one row per picture and attribute.

    The latest answer of each labeller counts; an empty one withdraws the earlier ones. Between labellers, the
    majority counts. If a killed process left an incomplete last line, it is removed from the file.

    Parameters
    ----------
    file
        CSV with the columns `image_id`, `attribute`, `value` and, optionally, `labeller`, `time` (ISO 8601) and
        `reason` (why the picture was chosen: ``low_margin``, ``conflict``, ``random``). A missing file has no labels.
    attributes
        ``cfg.attributes``: the valid attributes and options.
    truth
        From :func:`facestats.human_labels.read_truth`. It counts as one more labeller.
    people
        From :func:`facestats.inputs.read_people`: the person in each picture.
    pictures
        Folder of the pictures that the file names, ``cfg.raw_dir``; by default its names are taken as they are.

    Returns
    -------
    Rows sorted by picture and attribute:

    - `image_id` and `attribute` (String),
    - `value` (String, null in a tie between labellers),
    - `agreement` (Float32, share of the labellers who gave `value`, null in a tie),
    - `n_labellers` (Int32),
    - `reason` (String, the first one given; null where :func:`facestats.human_labels.sample` did not choose the
      picture),
    - where `people` names persons, also `person` (String, null where nobody is named).

    Raises
    ------
    LabelError
        If an attribute or option is unknown, or a line cannot be read. The message names the line, the value and the
        valid ones.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> labels = fs.human_labels.read("no_file.csv", project.attributes, truth=project.truth)
    >>> labels.columns
    ['image_id', 'attribute', 'value', 'agreement', 'n_labellers', 'reason']
    >>> labels.row(0)
    ('face_000.png', 'age', 'child', 1.0, 1, None)
    """
    path = Path(file)
    rows = list(_read_answers(path, attributes)) if path.is_file() else []
    answers = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    try:
        frames = [match_rows(answers, pictures, file=path)]
    except CaptionError as error:
        raise LabelError(str(error)) from error
    if truth is not None:
        frames.append(_truth_to_answers(truth))
    labels = _count_votes(pl.concat(frames))
    if ties := labels["value"].null_count():
        first = labels.filter(pl.col("value").is_null()).row(0, named=True)
        log.warning(
            "%s: the labellers are evenly split on %d labels, such as %s of %s; these have no value",
            path,
            ties,
            first["attribute"],
            first[KEY],
        )
    if people is None or people.columns == [KEY]:  # the metadata has no column of persons
        return labels
    known = people.select(KEY, person=pl.exclude(KEY).cast(pl.String))
    return labels.join(known, on=KEY, how="left", validate="m:1", maintain_order="left")


def answered(file: str | os.PathLike[str], attribute: str, *, labeller: str) -> set[str]:
    """Return the pictures about which `labeller` has an answer for `attribute` that is not withdrawn."""
    path, latest = Path(file), {}
    if path.is_file():
        for _, row in read_lines(path):
            if (
                row["attribute"].strip().casefold() == attribute.casefold()
                and row.get("labeller", "") == labeller
            ):
                latest[row[KEY]] = row["value"]
    return {image_id for image_id, value in latest.items() if value}


def _read_answers(path: Path, attributes: Mapping[str, AttributeSettings]) -> Iterator[tuple]:
    """Yield the checked answers in the order of the file."""
    for number, row in read_lines(path):
        where = f"{path}, line {number}"
        attribute, value = _check_option(where, row["attribute"], row["value"], attributes)
        if not row[KEY]:
            msg = f"{where}: no {KEY}. Fill it in, or delete the line."
            raise LabelError(msg)
        reason = row.get("reason") or None
        if reason is not None and reason not in REASONS:
            msg = (
                f"{where}: reason {reason!r} is none of {', '.join(REASONS)}. Correct it, or leave it empty."
            )
            raise LabelError(msg)
        time = _check_time(where, row.get("time", ""))
        yield row[KEY], attribute, value or None, row.get("labeller", ""), time, reason


def find_option(text: str, options: Collection[str]) -> str | None:
    """Return the option that a text is, or the only one that differs from it by capital letters; else None."""
    if text in options:
        return text
    same = [option for option in options if option.casefold() == text.casefold()]
    return same[0] if len(same) == 1 else None


def _check_option(
    where: str, attribute: str, value: str, attributes: Mapping[str, AttributeSettings]
) -> tuple[str, str]:
    """Return the valid attribute and option that two texts mean; LabelError unless there are such."""
    name = find_option(attribute, attributes)
    if name is None:
        msg = f"{where}: there is no attribute {attribute!r}; valid are {', '.join(attributes)}"
        raise LabelError(msg)
    options = attributes[name].options
    option = find_option(value, options) if value else value
    if option is None:
        msg = f"{where}: {value!r} is no option of {name!r}; valid are {', '.join(options)}"
        raise LabelError(msg)
    return name, option


def _check_time(where: str, text: str) -> datetime | None:
    """Parse a time; LabelError, which names the line, unless it is valid or empty."""
    try:
        return parse_time(text)
    except ValueError as error:
        msg = f"{where}: {text!r} is not a time; write it like 2025-01-31T12:00:00+00:00, or leave it empty"
        raise LabelError(msg) from error


def _truth_to_answers(truth: pl.DataFrame) -> pl.DataFrame:
    """Turn columns with the prefix `true_` into answers of a labeller named truth."""
    columns = [c for c in truth.columns if c.startswith(TRUE_PREFIX)]
    texts = truth.select(KEY, pl.col(columns).cast(pl.String))
    return (
        texts.unpivot(columns, index=KEY, variable_name="attribute", value_name="value")
        .drop_nulls("value")
        .with_columns(
            pl.col("attribute").str.strip_prefix(TRUE_PREFIX),
            labeller=pl.lit("truth"),
            time=pl.lit(None, dtype=_SCHEMA["time"]),
            reason=pl.lit(None, dtype=pl.String),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in _SCHEMA.items())
    )


def _count_votes(answers: pl.DataFrame) -> pl.DataFrame:
    """Combine answers, in the order they were given, into one row per picture and attribute."""
    by = [KEY, "attribute"]
    ordered = answers.sort("time", nulls_last=False, maintain_order=True)
    latest = ordered.group_by(*by, "labeller", maintain_order=True).last().drop_nulls("value")
    votes = latest.group_by(*by, "value").agg(votes=pl.len().cast(pl.Int32))
    total, best = pl.col("votes").sum().over(by), pl.col("votes").max().over(by)
    winners = votes.with_columns(n_labellers=total, best=best).filter(pl.col("votes") == pl.col("best"))
    tied = pl.len().over(by) > 1
    share = (pl.col("votes") / pl.col("n_labellers")).cast(pl.Float32)
    counted = winners.select(
        *by,
        value=pl.when(~tied).then("value"),
        agreement=pl.when(~tied).then(share),
        n_labellers=pl.col("n_labellers").cast(pl.Int32),
    ).unique(by)
    reasons = latest.group_by(by).agg(reason=pl.col("reason").drop_nulls().first())
    return counted.join(reasons, on=by, how="left", validate="1:1").sort(by)
