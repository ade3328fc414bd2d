"""Stage 06: one row per picture with all columns; for each attribute the merged value, its source, and conflicts."""

from __future__ import annotations

import logging

import polars as pl

from facestats.core.label_columns import label_names
from facestats.core.tables import FACES, FINGERPRINT, KEY, MASTER, TableError, check_columns, check_table

VERSION = 2  # raise it when the same input would give another table
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
    """Join the stage tables to `faces`, one to one, and merge the labels of each attribute.

    Parameters
    ----------
    faces
        Table of stage 01; it gives the rows and their order.
    attributes, text_labels
        Tables of stages 03 and 04.
    human
        From :func:`facestats.human_labels.read`: labels by people for some of the pictures.
    tables
        Further frames with one row per picture, such as captions or clusters; None adds nothing.

    Returns
    -------
    All rows of `faces` with all columns of the inputs. For each attribute `a` that has picture labels: `a` (Enum, the
    merged value), `a_source` (Enum, the first source that has a value, in this order: human, probe, agreement of
    picture and text, image, text), `a_score` (Float32, score of that value; for human labels the share of labellers
    who gave it), `a_conflict` (Boolean: the text differs from the picture, whose label is the probe's if there is one),
    `image_a` (Enum) and `image_a_score` (Float32), the label from the prompts, and, if people labelled it,
    `human_a` (Enum) and `human_a_score` (Float32).

    Raises
    ------
    TableError
        If an input repeats a key, has columns that exist already, does not have the same rows, or has other options.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> master = fs.merge_master(project.faces, attributes=project.labels, text_labels=project.text_labels)
    >>> [c for c in master.columns if c.startswith("age")]
    ['age', 'age_score', 'age_margin', 'age_probs', 'age_source', 'age_conflict']
    >>> sorted(master["age_source"].unique())
    ['agreement', 'image']
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
        master = _merge_attribute(master, attribute)
    return check_table(master, MASTER)


def _join(master: pl.DataFrame, table: pl.DataFrame, name: str) -> pl.DataFrame:
    if KEY not in table.columns:
        msg = f"table {name!r} has no {KEY} column; it has {table.columns}. Rename the column that holds the keys."
        raise TableError(msg)
    if clash := sorted((set(table.columns) & set(master.columns)) - {KEY, "status", "error"}):
        msg = f"table {name!r} has columns that exist already: {clash}. Rename or drop them first."
        raise TableError(msg)
    unknown = table.join(master, on=KEY, how="anti")[KEY]
    missing = master.join(table, on=KEY, how="anti")[KEY]
    for keys, text in ((unknown, "has {} rows that are not in faces"), (missing, "lacks {} rows of faces")):
        if keys.len():
            msg = (
                f"table {name!r} {text.format(keys.len())}, for example {keys[0]!r}: it was made from other pictures."
                " Build it again from these faces."
            )
            raise TableError(msg)
    extra = table.drop("status", "error", strict=False)
    try:
        return master.join(extra, on=KEY, how="left", validate="1:1", maintain_order="left")
    except pl.exceptions.ComputeError as error:
        msg = f"table {name!r} repeats {KEY} values. Keep one row per picture."
        raise TableError(msg) from error


def _join_human(master: pl.DataFrame, human: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Add `human_a` and `human_a_score` for every attribute that people labelled."""
    check_columns(human, KEY, "attribute", "value", "agreement", made_by="fs.human_labels.read")
    if unknown := [a for a in human["attribute"].unique().sort() if a not in names]:
        msg = (
            f"human labels are for {unknown}, but table 'attributes' has {names}. Run notebooks/03_attributes.ipynb"
            " again, or correct the labels."
        )
        raise TableError(msg)
    absent = human.join(master, on=KEY, how="anti")[KEY].unique().sort()
    if absent.len() and absent.len() == human[KEY].n_unique():
        msg = (
            f"none of the {absent.len()} pictures with human labels, such as {absent[0]!r}, is in faces, whose pictures"
            f" are {master[KEY].head(1).to_list()} and others. Use the file of labels that belongs to these pictures."
        )
        raise TableError(msg)
    if absent.len():
        log.warning("%d pictures with human labels are not in faces, such as %r", absent.len(), absent[0])
    for name in human["attribute"].unique().sort():
        answers = human.filter(attribute=name)
        options = _options(master, name)
        if unknown := sorted(set(answers["value"].drop_nulls()) - set(options)):
            msg = (
                f"human labels of {name!r} hold {unknown}; the options of table 'attributes' are {options}. Correct the"
                " labels, or run notebooks/03_attributes.ipynb with these options."
            )
            raise TableError(msg)
        wide = answers.select(
            KEY,
            pl.col("value").cast(pl.Enum(options)).alias(f"human_{name}"),
            pl.col("agreement").cast(pl.Float32).alias(f"human_{name}_score"),
        )
        try:
            master = master.join(wide, on=KEY, how="left", validate="1:1", maintain_order="left")
        except pl.exceptions.ComputeError as error:
            msg = (
                f"human labels of {name!r} name a picture twice. Read them with fs.human_labels.read, which gives one"
                " row per picture and attribute."
            )
            raise TableError(msg) from error
    return master


def _options(master: pl.DataFrame, column: str) -> list[str]:
    kind = master.schema[column]
    if not isinstance(kind, pl.Enum):
        msg = (
            f"column {column!r} is {kind}, expected an Enum of its options. Make it with fs.label_attributes"
            " (notebooks/03_attributes.ipynb)."
        )
        raise TableError(msg)
    return kind.categories.to_list()


def _merge_attribute(master: pl.DataFrame, name: str) -> pl.DataFrame:
    """Merge the labels of one attribute: the first source in the order of rank that has a value decides."""
    kind = pl.Enum(_options(master, name))
    no_label, no_score = pl.lit(None, dtype=kind), pl.lit(None, dtype=pl.Float32)

    def label_and_score(prefix: str) -> tuple[pl.Expr, pl.Expr]:
        column = f"{prefix}{name}"
        if column not in master.columns:
            return no_label, no_score
        if (found := _options(master, column)) != kind.categories.to_list():
            msg = (
                f"{column!r} has the options {found}, {name!r} has {kind.categories.to_list()}: they were made with"
                " different configurations. Run notebooks 03 and 04 again."
            )
            raise TableError(msg)
        return pl.col(column).cast(kind), pl.col(f"{column}_score")

    (human, agreement), (probe, probe_score) = label_and_score("human_"), label_and_score("probe_")
    (image, image_score), (text, text_score) = label_and_score(""), label_and_score("text_")
    ranked = {
        "human": (human, agreement),
        "probe": (probe, probe_score),
        "agreement": (pl.when(image == text).then(image), image_score),
        "image": (image, image_score),
        "text": (text, text_score),
    }
    value, source, score = no_label, pl.lit(None, dtype=SOURCES), no_score
    for source_name, (label, label_score) in reversed(ranked.items()):
        present = label.is_not_null()
        value = pl.when(present).then(label).otherwise(value)
        source = pl.when(present).then(pl.lit(source_name, dtype=SOURCES)).otherwise(source)
        score = pl.when(present).then(label_score).otherwise(score)
    return master.with_columns(
        value.alias(name),
        score.cast(pl.Float32).alias(f"{name}_score"),
        source.alias(f"{name}_source"),
        (pl.coalesce(probe, image) != text).fill_null(value=False).alias(f"{name}_conflict"),
        image.alias(f"image_{name}"),
        image_score.alias(f"image_{name}_score"),
    )
