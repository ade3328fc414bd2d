"""Read ratings that people gave, and refuse ratings that a model made."""

from __future__ import annotations

import logging
import re
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.display import count_of
from facestats.core.tables import KEY, TableError
from facestats.inputs.matching import match_rows
from facestats.inputs.metadata import name_rows
from facestats.inputs.textfiles import CaptionError, read_table
from facestats.ratings.layout import as_numbers, choose_traits, is_missing, to_long

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence

log = logging.getLogger(__name__)
TRAIT = "attractiveness"
_MANY_TIMES, _ALIKE = 5, 0.85  # a trait with so many fewer ratings, and so alike, may be misspelt
_MAX_RATING = 1e9  # squares and sums of larger numbers overflow, or lose all digits of the others
# names of columns that the tables of this package hold beside a value made by a model
_MODEL_COLUMNS = re.compile(r".*_(score|scores|probs|margin|sd|ood|pred|predicted|prediction)$|^fingerprint$")
# words in a rater_id that name a model; words that are also names of people, such as Claude, Bert or Ai, are none of them
_MODEL_WORDS = frozenset(
    [
        "classifier",
        "clip",
        "cnn",
        "facestats",
        "gpt",
        "llm",
        "mlp",
        "model",
        "network",
        "openclip",
        "predicted",
        "prediction",
        "predictor",
        "regressor",
        "resnet",
        "scorer",
        "siglip",
    ]
)


def read(
    source: str | os.PathLike[str] | pl.DataFrame,
    *,
    trait: str = TRAIT,
    traits: Sequence[str] | None = None,
    taken: Collection[str] = (),
    pictures: str | os.PathLike[str] | None = None,
    scale: tuple[float, float] | None = None,
) -> pl.DataFrame:
    """Read single ratings: one row per face, rater and trait.

    A model may only be trained on ratings by people. The function therefore refuses means without a `rater_id`,
    tables of this package, columns that accompany the values of a model (names that end in `_score`, `_scores`,
    `_probs`, `_margin`, `_sd`, `_ood`, `_pred`, `_predicted` or `_prediction`, and `fingerprint`), and raters who
    are named like a model (words such as clip, gpt, bot or classifier, or the form ``organisation/name``).

    Parameters
    ----------
    source
        A file (CSV, TSV, JSON Lines or Parquet) or a frame, with `image_id` (or `file_name`), `rater_id` (or `rater`,
        `participant`, `judge`), `rating` (a number) and, if several traits were rated, `trait`. Instead of `rating`,
        there may be one column of numbers per trait; an empty rating is none; numbers that describe the rater
        or the picture are told from ratings because they never vary within it. Other columns are kept.
    trait
        Name of the trait, used if there is neither a column `trait` nor one column per trait.
    traits
        Traits to keep: ``cfg.ratings.traits``; None keeps all.
    taken
        Names that no trait may have, because other columns of the tables have them: ``cfg.attributes``.
    pictures
        Folder of the pictures that the file names, ``cfg.raw_dir``; by default its names are taken as they are. Ratings of
        other pictures are left out.
    scale
        Lowest and highest possible rating, ``cfg.ratings.scale``; None takes all that occur.

    Returns
    -------
    `image_id`, `rater_id`, `trait` (String), `rating` (Float64), then the other columns; sorted by the first three. A
    trait is named by letters, digits and underscores, as it names columns and a folder: "Perceived age" is
    `Perceived_age`.

    Raises
    ------
    TableError
        If a column is missing, a rating is not a number or not on the scale, a rater rates a face twice, a trait of `traits` was not rated,
        two names collide, the ratings are means, or a model made them.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> ratings = fs.ratings.read(project.raw_dir / "ratings.csv")
    >>> ratings.columns
    ['image_id', 'rater_id', 'trait', 'rating']
    >>> ratings.height, ratings["rater_id"].n_unique()
    (48, 4)
    """
    frame, where = (source, "the frame") if isinstance(source, pl.DataFrame) else _read(Path(source))
    if {c.strip().casefold() for c in frame.columns} & {KEY, "file_name"}:
        frame = name_rows(frame, where)
    _refuse_model_columns(frame, where)
    frame = to_long(frame, where=where, trait=trait)
    keys = (KEY, "rater_id", "trait")
    frame = frame.with_columns(
        pl.col(KEY).cast(pl.String),
        pl.col("rater_id", "trait").cast(pl.String).str.strip_chars(),
        as_numbers(frame["rating"]),
    ).filter(pl.col(KEY).fill_null("") != "", ~is_missing(frame["rating"]))
    try:
        frame = match_rows(frame, pictures, file=where, only_known=True)
    except CaptionError as error:
        raise TableError(str(error)) from error
    _refuse_models(frame["rater_id"], where)
    _check_rows(frame, keys, where)
    _warn_of_misspelt_traits(frame, where)
    frame = choose_traits(frame, traits, taken=taken, where=where)
    if scale is None:
        _warn_of_outliers(frame, where)
    else:
        _check_scale(frame, scale, where)
    _warn_of_constant_raters(frame, where)
    others = [c for c in frame.columns if c not in {*keys, "rating"}]
    return frame.select(*keys, "rating", *others).sort(keys)


def _read(file: Path) -> tuple[pl.DataFrame, str]:
    try:
        frame = read_table(file)
    except CaptionError as error:
        raise TableError(str(error)) from error
    if file.suffix.lower() == ".parquet" and "facestats" in pl.read_parquet_metadata(file):
        msg = f"{file} is a table made by this package, not ratings by people. Give the file of the ratings."
        raise TableError(msg)
    return frame, str(file)


def _refuse_model_columns(frame: pl.DataFrame, where: str) -> None:
    if bad := [c for c in frame.columns if _MODEL_COLUMNS.match(c)]:
        msg = (
            f"{where} has the columns {bad}, which accompany the values of a model. A model is never trained on a"
            " model's output. Give single ratings by people, or drop these columns if people gave the ratings."
        )
        raise TableError(msg)


def _refuse_models(raters: pl.Series, where: str) -> None:
    for rater in raters.drop_nulls().unique().sort():
        words = set(re.split(r"[^a-z]+", rater.lower()))
        if words & _MODEL_WORDS or re.fullmatch(r"[\w.-]+/[\w.-]+", rater):
            msg = (
                f"{where}: rater {rater!r} is named like a model. A model is never trained on a model's output."
                " Leave these rows out, or rename the rater if it is a person."
            )
            raise TableError(msg)


def _warn_of_outliers(frame: pl.DataFrame, where: str) -> None:
    """Name ratings far from the others: 999 or -9 usually stand for no rating."""
    low, high = pl.col("rating").quantile(0.05), pl.col("rating").quantile(0.95)
    reach = 1.5 * (high - low)
    ends = frame.group_by("trait", maintain_order=True).agg(
        far=pl.col("rating").filter(~pl.col("rating").is_between(low - reach, high + reach)),
        low=low,
        high=high,
    )
    for row in ends.filter(pl.col("far").list.len() > 0, pl.col("low") < pl.col("high")).iter_rows(
        named=True
    ):
        log.warning(
            "%s: %d ratings of %s lie far from the others, such as %g (most lie between %g and %g). If such numbers stand"
            " for no rating, delete them: as ratings, they spoil every measure.",
            where,
            len(row["far"]),
            row["trait"],
            row["far"][0],
            row["low"],
            row["high"],
        )


def _check_scale(frame: pl.DataFrame, scale: tuple[float, float], where: str) -> None:
    """Refuse ratings beyond the scale; the message counts them by trait and shows examples."""
    beyond = frame.filter(~pl.col("rating").is_between(*scale))
    if beyond.is_empty():
        return
    found = [
        f"{part.height} of {trait}, such as {part['rating'][0]:g} by {part['rater_id'][0]!r} of {part[KEY][0]!r}"
        for (trait,), part in beyond.group_by("trait", maintain_order=True)
    ]
    msg = (
        f"{where}: {count_of(beyond.height, 'rating')} outside of ratings.scale, which is {scale[0]:g} to {scale[1]:g}:"
        f" {'; '.join(found)}. Correct or delete them; if traits have different scales, leave out ratings.scale."
    )
    raise TableError(msg)


def _warn_of_misspelt_traits(frame: pl.DataFrame, where: str) -> None:
    """Name traits with few ratings that are spelt almost like one with many."""
    counts = dict(frame["trait"].value_counts().iter_rows())
    for trait, n in sorted(counts.items()):
        many = [other for other, more in counts.items() if more >= _MANY_TIMES * n]
        if near := get_close_matches(trait, many, n=1, cutoff=_ALIKE):
            log.warning(
                "%s: the trait %r has %s, %r has %d; correct the spelling if they are the same",
                where,
                trait,
                count_of(n, "rating"),
                near[0],
                counts[near[0]],
            )


def _warn_of_constant_raters(frame: pl.DataFrame, where: str) -> None:
    """Name raters who gave all faces the same rating of a trait."""
    of_one = frame.group_by("trait", "rater_id", maintain_order=True).agg(
        n=pl.len(), values=pl.col("rating").n_unique(), rating=pl.col("rating").first()
    )
    varied = frame.group_by("trait").agg(several=pl.col("rating").n_unique() > 1)
    same = of_one.join(varied, on="trait").filter(
        pl.col("n") >= _MANY_TIMES, pl.col("values") == 1, pl.col("several")
    )
    for row in same.sort("trait", "rater_id").iter_rows(named=True):
        log.warning(
            "%s: rater %r gave all %d faces the same rating of %s, %g: it tells no face from another",
            where,
            row["rater_id"],
            row["n"],
            row["trait"],
            row["rating"],
        )


def _check_rows(frame: pl.DataFrame, keys: tuple[str, ...], where: str) -> None:
    for name in ("rater_id", "trait", "rating"):
        column = frame[name]
        bad = column.fill_null("") == "" if name != "rating" else ~column.is_finite().fill_null(value=False)
        if n := int(bad.sum()):
            row = frame.filter(bad).row(0, named=True)
            msg = f"{where}: {n} rows have no usable {name}, for example the row of {row[KEY]!r}. Leave them out."
            raise TableError(msg)
    if (far := frame.filter(pl.col("rating").abs() > _MAX_RATING)).height:
        row = far.row(0, named=True)
        msg = f"{where}: the rating of {row[KEY]!r} is {row['rating']:g}, and no scale reaches so far. Correct it."
        raise TableError(msg)
    twice = frame.filter(frame.select(keys).is_duplicated())
    if twice.height:
        row = twice.row(0, named=True)
        msg = (
            f"{where}: {row['rater_id']!r} rates {row[KEY]!r} twice for {row['trait']!r}. Keep one of the two"
            " ratings, or give each occasion its own trait."
        )
        raise TableError(msg)
