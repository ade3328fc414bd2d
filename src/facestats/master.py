"""Stage 06: one row per picture, all columns; per attribute the value, where it comes from, and conflicts."""

from __future__ import annotations

import logging

import polars as pl

from facestats.core.label_columns import label_names
from facestats.core.tables import FACES, FINGERPRINT, KEY, MASTER, TableError, check_columns, check_table

VERSION = 2
SOURCES = pl.Enum(["human", "probe", "agreement", "image", "text"])
log = logging.getLogger(__name__)


def merge_master(
    faces: pl.DataFrame,
    *,
    attributes: pl.DataFrame | None = None,
    text_labels: pl.DataFrame | None = None,
    human: pl.DataFrame | None = None,
    **tables: pl.DataFrame | None,
) -> pl.DataFrame:
    """Join the stage tables onto `faces`, one to one, and settle each attribute.

    Parameters
    ----------
    faces
        Table of stage 01: gives rows and their order.
    attributes, text_labels
        Tables of stages 03 and 04.
    human
        From :func:`facestats.human_labels.read`: what people said of some of the pictures.
    tables
        Further frames with a row per picture, such as captions or clusters; None adds nothing.

    Returns
    -------
    All columns of the inputs, and per attribute `a` with a picture label: `a` (Enum, the merged value),
    `a_source` (Enum, the first that has a value: human, probe, agreement of picture and text, image, text),
    `a_score` (Float32, the score of that value; for human labels the share of labellers that said so),
    `a_conflict` (Boolean: picture and text say different things; the picture speaks through the probe where
    there is one), `image_a` and `image_a_score` (the answer of the prompts), `human_a` where people were asked.

    Raises
    ------
    TableError
        If an input repeats a key, brings columns that are there already, does not have the same rows, or knows
        other options.
    """
    master = check_table(faces, FACES).drop(FINGERPRINT, strict=False)
    given = {"attributes": attributes, "text_labels": text_labels, **tables}
    for name, table in given.items():
        if table is not None:
            master = _join(master, table.drop(FINGERPRINT, strict=False), name)
    names = [] if attributes is None else label_names(attributes)
    if human is not None:
        master = _join_human(master, human, names)
    for attribute in names:
        master = _settle(master, attribute)
    return check_table(master, MASTER)


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


def _join_human(master: pl.DataFrame, human: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Add `human_a` and `human_a_score` for every attribute that people spoke of."""
    check_columns(human, KEY, "attribute", "value", "agreement", made_by="fs.read_labels")
    if unknown := [a for a in human["attribute"].unique().sort() if a not in names]:
        msg = (
            f"human labels speak of {unknown}, but table 'attributes' labels {names}. Run notebook 03 again."
        )
        raise TableError(msg)
    lost = human.join(master, on=KEY, how="anti")[KEY].unique().sort()
    if lost.len() and lost.len() == human[KEY].n_unique():
        msg = (
            f"none of the {lost.len()} pictures with human labels, such as {lost[0]!r}, is in faces; they name"
            f" {master[KEY].head(1).to_list()} and others. Take the file of labels that belongs to these pictures."
        )
        raise TableError(msg)
    if lost.len():
        log.warning("%d pictures with human labels are not in faces, such as %r", lost.len(), lost[0])
    for name in human["attribute"].unique().sort():
        said = human.filter(attribute=name)
        options = _options(master, name)
        if strange := sorted(set(said["value"].drop_nulls()) - set(options)):
            msg = f"human labels of {name!r} hold {strange}; the options of table 'attributes' are {options}"
            raise TableError(msg)
        wide = said.select(
            KEY,
            pl.col("value").cast(pl.Enum(options)).alias(f"human_{name}"),
            pl.col("agreement").cast(pl.Float32).alias(f"human_{name}_score"),
        )
        try:
            master = master.join(wide, on=KEY, how="left", validate="1:1", maintain_order="left")
        except pl.exceptions.ComputeError as error:
            msg = f"human labels of {name!r} name a picture twice; read them with fs.read_labels"
            raise TableError(msg) from error
    return master


def _options(master: pl.DataFrame, column: str) -> list[str]:
    kind = master.schema[column]
    if not isinstance(kind, pl.Enum):
        msg = f"column {column!r} is {kind}, expected an Enum of its options as notebook 03 makes it"
        raise TableError(msg)
    return kind.categories.to_list()


def _settle(master: pl.DataFrame, name: str) -> pl.DataFrame:
    """Merge all answers for one attribute; those of one rank come after all of a higher one."""
    kind = pl.Enum(_options(master, name))
    nothing = pl.lit(None, dtype=kind), pl.lit(None, dtype=pl.Float32)

    def answer(prefix: str) -> tuple[pl.Expr, pl.Expr]:
        column = f"{prefix}{name}"
        if column not in master.columns:
            return nothing
        if (found := _options(master, column)) != kind.categories.to_list():
            msg = (
                f"{column!r} has the options {found}, {name!r} has {kind.categories.to_list()}: one of them was made"
                " with another configuration. Run notebooks 03 and 04 again."
            )
            raise TableError(msg)
        return pl.col(column).cast(kind), pl.col(f"{column}_score")

    (human, agreement), (probe, probe_score) = answer("human_"), answer("probe_")
    (image, image_score), (text, text_score) = answer(""), answer("text_")
    ranked = {
        "human": (human, agreement),
        "probe": (probe, probe_score),
        "agreement": (pl.when(image == text).then(image), image_score),
        "image": (image, image_score),
        "text": (text, text_score),
    }
    value, source, score = nothing[0], pl.lit(None, dtype=SOURCES), nothing[1]
    for label, (answered, its_score) in reversed(ranked.items()):
        there = answered.is_not_null()
        value = pl.when(there).then(answered).otherwise(value)
        source = pl.when(there).then(pl.lit(label, dtype=SOURCES)).otherwise(source)
        score = pl.when(there).then(its_score).otherwise(score)
    return master.with_columns(
        value.alias(name),
        score.cast(pl.Float32).alias(f"{name}_score"),
        source.alias(f"{name}_source"),
        (pl.coalesce(probe, image) != text).fill_null(value=False).alias(f"{name}_conflict"),
        image.alias(f"image_{name}"),
        image_score.alias(f"image_{name}_score"),
    )
