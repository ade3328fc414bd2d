"""Labels given by people: their answers checked against the options, and what they add up to."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY, TRUE_PREFIX
from facestats.human_labels.answers_file import REASONS, LabelError, parse_time, read_lines

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from facestats.core.config import AttributeSettings

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
) -> pl.DataFrame:
    """Read what people said of pictures, one row per picture and attribute.

    Of several answers of one labeller the latest counts, an empty one withdraws those before it; between
    labellers the majority. A last line that a killed process left half written is taken out of the file.

    Parameters
    ----------
    file
        CSV with the columns `image_id`, `attribute`, `value` and, where known, `labeller`, `time` (ISO 8601) and
        `reason` (why the row was asked: low_margin, conflict, random). A file that does not exist has no labels.
    attributes
        ``cfg.attributes``: the valid attributes and options.
    truth
        From :func:`facestats.human_labels.read_truth`: it counts as one more labeller.
    people
        From :func:`facestats.inputs.read_people`: who is in which picture.

    Returns
    -------
    `image_id`, `attribute`, `value` (String; null where as many labellers say one thing as another),
    `agreement` (Float32: share of the labellers that said so; null in a tie), `n_labellers` (Int32), `reason`
    (String, of the first answer; null where the picture was not picked by :func:`facestats.human_labels.sample`), in the order of
    picture and attribute; `person` (String, null where nobody is named) where `people` name any.

    Raises
    ------
    LabelError
        At an unknown attribute or option, or a line that cannot be read: with line, value and valid ones.
    """
    path = Path(file)
    rows = list(_read_answers(path, attributes)) if path.is_file() else []
    frames = [pl.DataFrame(rows, schema=_SCHEMA, orient="row")]
    if truth is not None:
        frames.append(_long(truth))
    labels = _count(pl.concat(frames))
    if ties := labels["value"].null_count():
        first = labels.filter(pl.col("value").is_null()).row(0, named=True)
        log.warning(
            "%s: the labellers are evenly split on %d labels, such as %s of %s; these stay without a value",
            path,
            ties,
            first["attribute"],
            first[KEY],
        )
    if people is None or people.columns == [KEY]:  # no column of the metadata tells them apart
        return labels
    known = people.select(KEY, person=pl.exclude(KEY).cast(pl.String))
    return labels.join(known, on=KEY, how="left", validate="m:1", maintain_order="left")


def answered(file: str | os.PathLike[str], attribute: str, *, labeller: str) -> set[str]:
    """Pictures of which `labeller` has said something about `attribute` that still stands."""
    path, said = Path(file), {}
    if path.is_file():
        for _, row in read_lines(path):
            if row["attribute"] == attribute and row.get("labeller", "") == labeller:
                said[row[KEY]] = row["value"]
    return {image_id for image_id, value in said.items() if value}


def _read_answers(path: Path, attributes: Mapping[str, AttributeSettings]) -> Iterator[tuple]:
    """Yield checked rows in the order of the file."""
    for number, row in read_lines(path):
        where = f"{path}, line {number}"
        _check(where, row["attribute"], row["value"], attributes)
        if not row[KEY]:
            msg = f"{where}: no {KEY}"
            raise LabelError(msg)
        reason = row.get("reason") or None
        if reason is not None and reason not in REASONS:
            msg = f"{where}: reason {reason!r} is none of {', '.join(REASONS)}"
            raise LabelError(msg)
        time = _time(where, row.get("time", ""))
        yield row[KEY], row["attribute"], row["value"] or None, row.get("labeller", ""), time, reason


def _check(where: str, attribute: str, value: str, attributes: Mapping[str, AttributeSettings]) -> None:
    if attribute not in attributes:
        msg = f"{where}: there is no attribute {attribute!r}; valid are {', '.join(attributes)}"
        raise LabelError(msg)
    options = attributes[attribute].options
    if value and value not in options:
        msg = f"{where}: {value!r} is no option of {attribute!r}; valid are {', '.join(options)}"
        raise LabelError(msg)


def _time(where: str, text: str) -> datetime | None:
    try:
        return parse_time(text)
    except ValueError as error:
        msg = f"{where}: {text!r} is no time; write it like 2025-01-31T12:00:00+00:00, or leave it empty"
        raise LabelError(msg) from error


def _long(truth: pl.DataFrame) -> pl.DataFrame:
    """Turn `true_` columns into answers."""
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


def _count(answers: pl.DataFrame) -> pl.DataFrame:
    """Turn answers, in the order they were given, into one row per picture and attribute."""
    by = [KEY, "attribute"]
    ordered = answers.sort("time", nulls_last=False, maintain_order=True)
    latest = ordered.group_by(*by, "labeller", maintain_order=True).last().drop_nulls("value")
    votes = latest.group_by(*by, "value").agg(votes=pl.len().cast(pl.Int32))
    total, best = pl.col("votes").sum().over(by), pl.col("votes").max().over(by)
    won = votes.with_columns(n_labellers=total, best=best).filter(pl.col("votes") == pl.col("best"))
    tied = pl.len().over(by) > 1
    share = (pl.col("votes") / pl.col("n_labellers")).cast(pl.Float32)
    counted = won.select(
        *by,
        value=pl.when(~tied).then("value"),
        agreement=pl.when(~tied).then(share),
        n_labellers=pl.col("n_labellers").cast(pl.Int32),
    ).unique(by)
    reasons = latest.group_by(by).agg(reason=pl.col("reason").drop_nulls().first())
    return counted.join(reasons, on=by, how="left", validate="1:1").sort(by)
