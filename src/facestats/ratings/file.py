"""Read ratings that people gave; ratings that a model gave are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY, TableError
from facestats.inputs.textfiles import CaptionError, read_table

if TYPE_CHECKING:
    import os

COLUMNS = (KEY, "rater_id", "rating")
TRAIT = "attractiveness"
# columns that the tables of this package put beside a value that a model made
_MODEL_COLUMNS = re.compile(r".*_(score|scores|probs|margin|sd|ood|pred|predicted|prediction)$|^fingerprint$")
_MODEL_WORDS = frozenset(
    [
        "ai",
        "bart",
        "bert",
        "bot",
        "classifier",
        "claude",
        "clip",
        "cnn",
        "facestats",
        "gemini",
        "gpt",
        "llama",
        "llm",
        "mlp",
        "model",
        "net",
        "network",
        "openclip",
        "predicted",
        "prediction",
        "predictor",
        "regressor",
        "resnet",
        "ridge",
        "scorer",
        "siglip",
        "vit",
    ]
)


def read(source: str | os.PathLike[str] | pl.DataFrame, *, trait: str = TRAIT) -> pl.DataFrame:
    """Read single ratings in long form, one row per face, rater and trait.

    A target must come from people. Refused are: files without `rater_id` (a mean has no rater); tables of this
    package (Parquet with its footer); columns that accompany a model's values (`..._score`, `_probs`,
    `_margin`, `_sd`, `_ood`, `_pred`, `_predicted`, `_prediction`, `fingerprint`); and raters who are models:
    a `rater_id` with one of the words ai, bart, bert, bot, classifier, claude, clip, cnn, facestats, gemini,
    gpt, llama, llm, mlp, model, net, network, openclip, predicted, prediction, predictor, regressor, resnet,
    ridge, scorer, siglip, vit, or in the form ``org/name``.

    Parameters
    ----------
    source
        A file (CSV, TSV, JSON Lines, Parquet) or a frame with `image_id` (or `file_name`), `rater_id`,
        `rating` (a number) and, where there are several, `trait`; other columns stay.
    trait
        Name of the trait where there is no such column.

    Returns
    -------
    `image_id`, `rater_id`, `trait` (String), `rating` (Float64), then the other columns, sorted.

    Raises
    ------
    TableError
        If a column is missing, a rating is no number, a rater rates a face twice, or a model made the ratings.
    """
    frame, where = (source, "the frame") if isinstance(source, pl.DataFrame) else _read(Path(source))
    if KEY not in frame.columns and "file_name" in frame.columns:
        frame = frame.rename({"file_name": KEY})
    _refuse_model_columns(frame, where)
    if missing := [c for c in COLUMNS if c not in frame.columns]:
        msg = (
            f"{where} has no column {missing}; it has {frame.columns}. Ratings have a row per face and rater."
        )
        raise TableError(msg)
    if "trait" not in frame.columns:
        frame = frame.with_columns(trait=pl.lit(trait))
    keys = (KEY, "rater_id", "trait")
    frame = frame.with_columns(
        pl.col(*keys).cast(pl.String), rating=pl.col("rating").cast(pl.Float64, strict=False)
    ).filter(pl.col(KEY).fill_null("") != "")
    _refuse_models(frame["rater_id"], where)
    _check_rows(frame, keys, where)
    others = [c for c in frame.columns if c not in {*keys, "rating"}]
    return frame.select(*keys, "rating", *others).sort(keys)


def _read(file: Path) -> tuple[pl.DataFrame, str]:
    if file.suffix.lower() == ".parquet" and file.is_file():
        footer = pl.read_parquet_metadata(file)
        if "facestats" in footer:
            msg = f"{file} is a table that this package made, not ratings by people; give the file of the ratings"
            raise TableError(msg)
    try:
        return read_table(file), str(file)
    except CaptionError as error:
        raise TableError(str(error)) from error


def _refuse_model_columns(frame: pl.DataFrame, where: str) -> None:
    if bad := [c for c in frame.columns if _MODEL_COLUMNS.match(c)]:
        msg = (
            f"{where} has the columns {bad}, which accompany what a model says. A model is never trained on a"
            " model's output: give the single ratings of people, or drop these columns if people made the rest."
        )
        raise TableError(msg)


def _refuse_models(raters: pl.Series, where: str) -> None:
    for rater in raters.drop_nulls().unique().sort():
        words = set(re.split(r"[^a-z]+", rater.lower()))
        if words & _MODEL_WORDS or re.fullmatch(r"[\w.-]+/[\w.-]+", rater):
            msg = (
                f"{where}: rater {rater!r} is named like a model. A model is never trained on a model's output:"
                " leave these rows out, or rename the rater if it is a person."
            )
            raise TableError(msg)


def _check_rows(frame: pl.DataFrame, keys: tuple[str, ...], where: str) -> None:
    for name in ("rater_id", "rating"):
        column = frame[name]
        bad = column.is_null() if name == "rater_id" else ~column.is_finite().fill_null(value=False)
        if n := int(bad.sum()):
            row = frame.filter(bad).row(0, named=True)
            msg = f"{where}: {n} rows have no usable {name}, for example that of {row[KEY]!r}; leave them out"
            raise TableError(msg)
    twice = frame.filter(frame.select(keys).is_duplicated())
    if twice.height:
        row = twice.row(0, named=True)
        msg = (
            f"{where}: {row['rater_id']!r} rates {row[KEY]!r} twice for {row['trait']!r}. Keep one of them, or"
            " name the occasions as traits of their own."
        )
        raise TableError(msg)
