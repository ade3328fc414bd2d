"""Stage 06: one row per picture, all columns; per attribute the value, where it comes from, and conflicts."""

from __future__ import annotations

import polars as pl

from facestats.core.tables import FACES, FINGERPRINT, KEY, MASTER, TableError, check_table

VERSION = 1
SOURCES = pl.Enum(["agreement", "image", "text"])


def merge_master(
    faces: pl.DataFrame,
    *,
    attributes: pl.DataFrame | None = None,
    text_labels: pl.DataFrame | None = None,
    **tables: pl.DataFrame,
) -> pl.DataFrame:
    """Join the stage tables onto `faces`, one to one, and settle each attribute.

    Parameters
    ----------
    faces
        Table of stage 01: gives rows and their order.
    attributes, text_labels
        Tables of stages 03 and 04. Agreement of picture and text counts more than the picture alone, the
        picture more than the text alone.
    tables
        Further frames with a row per picture, such as captions or clusters.

    Returns
    -------
    All columns of the inputs, and per attribute `a` with a picture label: `a` (Enum, the merged value),
    `a_source` (Enum: agreement, image, text; null without a value), `a_score` (Float32, the score of that
    value), `a_conflict` (Boolean: picture and text say different things), `image_a` and `image_a_score` (the
    picture's own answer).

    Raises
    ------
    TableError
        If an input repeats a key, brings columns that are there already, or does not have the same rows.
    """
    master = check_table(faces, FACES).drop(FINGERPRINT, strict=False)
    given = {"attributes": attributes, "text_labels": text_labels, **tables}
    for name, table in given.items():
        if table is not None:
            master = _join(master, table.drop(FINGERPRINT, strict=False), name)
    if attributes is not None:
        for attribute in label_names(attributes):
            master = _settle(master, attribute)
    return check_table(master, MASTER)


def label_names(attributes: pl.DataFrame) -> list[str]:
    """Names of the attributes that a table labels: columns with a `_score` and `_probs` beside them."""
    names = attributes.columns
    return [c for c in names if f"{c}_score" in names and f"{c}_probs" in names]


def _join(master: pl.DataFrame, table: pl.DataFrame, name: str) -> pl.DataFrame:
    if KEY not in table.columns:
        msg = f"table {name!r} has no {KEY} column; it has {table.columns}"
        raise TableError(msg)
    if clash := sorted((set(table.columns) & set(master.columns)) - {KEY, "status", "error"}):
        msg = f"table {name!r} brings columns that are already there: {clash}. Rename or drop them first."
        raise TableError(msg)
    strangers = table.join(master, on=KEY, how="anti")[KEY]
    absent = master.join(table, on=KEY, how="anti")[KEY]
    for keys, text in ((strangers, "that faces has not"), (absent, "too few")):
        if keys.len():
            msg = (
                f"table {name!r} has {keys.len()} rows {text}, for example {keys[0]!r}; it was made from other"
                " pictures. Build it again from these faces."
            )
            raise TableError(msg)
    extra = table.drop("status", "error", strict=False)
    try:
        return master.join(extra, on=KEY, how="left", validate="1:1", maintain_order="left")
    except pl.exceptions.ComputeError as error:
        msg = f"table {name!r} repeats {KEY} values; a table has one row per picture"
        raise TableError(msg) from error


def _settle(master: pl.DataFrame, name: str) -> pl.DataFrame:
    """Merge the picture's and the text's answer for one attribute."""
    picture, score = pl.col(name), pl.col(f"{name}_score")
    has_text = f"text_{name}" in master.columns
    kind = master.schema[name]
    text = pl.col(f"text_{name}").cast(kind) if has_text else pl.lit(None, dtype=kind)
    text_score = pl.col(f"text_{name}_score") if has_text else pl.lit(None, dtype=pl.Float32)
    both = picture.is_not_null() & text.is_not_null()
    source = (
        pl.when(both & (picture == text))
        .then(pl.lit("agreement"))
        .when(picture.is_not_null())
        .then(pl.lit("image"))
        .when(text.is_not_null())
        .then(pl.lit("text"))
    )
    return master.with_columns(
        pl.coalesce(picture, text).alias(name),
        pl.coalesce(score, pl.when(text.is_not_null()).then(text_score)).alias(f"{name}_score"),
        source.cast(SOURCES).alias(f"{name}_source"),
        (both & (picture != text)).fill_null(value=False).alias(f"{name}_conflict"),
        picture.alias(f"image_{name}"),
        score.alias(f"image_{name}_score"),
    )
