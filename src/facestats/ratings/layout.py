"""The shapes in which people keep ratings: one rating per row, or one column per trait; and the names of traits."""

from __future__ import annotations

import logging
import re
import unicodedata
from difflib import get_close_matches
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import FINGERPRINT, KEY, TABLES, TableError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

RATED = ("_rating", "_n", "_predicted", "_residual", "_fold")  # columns of a trait in table `rated_faces`
PARTS = ("", "_sd", "_low", "_high", "_ood")  # columns of a trait in table `ratings`
SHAPE_TO_USE = (
    "Give one row per picture and rater, with the columns image_id, rater_id and rating (and trait, if several were"
    " rated), or with image_id, rater_id and one column per trait."
)
log = logging.getLogger(__name__)
MIN_REPEATED = 2  # raters or pictures with several equal values, from which on a column describes them
MAX_NAME = 100  # characters of a trait: it names columns and a folder
_RATERS = ("rater_id", "rater", "participant_id", "participant", "judge_id", "judge")
_MISSING = ("", "na", "n/a", "nan", "null", "none", ".", "-")
_RESERVED = frozenset(c for t in TABLES.values() if t.key == KEY for c in t.columns) | {FINGERPRINT, "text"}


def to_long(frame: pl.DataFrame, *, where: str, trait: str) -> pl.DataFrame:
    """Return one row per rating, with `rater_id`, `trait` and `rating`; raise TableError if nobody can tell the raters."""
    if KEY not in frame.columns:
        msg = f"{where} has no column ['{KEY}']; it has {frame.columns}. {SHAPE_TO_USE}"
        raise TableError(msg)
    reduced = {c: re.sub(r"[ -]+", "_", c.strip().casefold()) for c in frame.columns}
    names = {short: c for c, short in reversed(reduced.items())}
    rater = next((names[r] for r in _RATERS if r in names), None)
    for wanted in ("rating", "trait", *_RATERS):
        alike = [c for c, short in reduced.items() if short == wanted]
        if len(alike) > 1:
            msg = f"{where} has the columns {alike}, which mean the same. Keep one of them."
            raise TableError(msg)
    frame = frame.rename({names[c]: c for c in ("rating", "trait") if c in names})
    if rater is None:
        msg = f"{where} {_without_raters(frame)} {SHAPE_TO_USE}"
        raise TableError(msg)
    frame = frame.rename({rater: "rater_id"})
    if "rating" not in frame.columns:
        return _melt(frame, where)
    return frame if "trait" in frame.columns else frame.with_columns(trait=pl.lit(trait))


def _without_raters(frame: pl.DataFrame) -> str:
    """Say what a frame without raters holds, and why it is of no use."""
    why = (
        "How far raters agree, and how well any model can do, is only known from the ratings of single raters. Means"
        " cannot be used; without the file, everything else runs."
    )
    keys = [c for c in (KEY, "trait") if c in frame.columns]
    if "rating" in frame.columns and frame.select(keys).is_duplicated().any():
        return f"has no column ['rater_id'], which says who gave each rating; it has {frame.columns}. {why}"
    if "rating" in frame.columns:
        return f"has one rating per picture and no column ['rater_id']: these are means. {why}"
    numbers = [c for c in frame.columns if c != KEY and _is_numeric(frame[c])]
    if numbers:
        return f"has no column ['rater_id']; its columns of numbers {numbers} may be means of traits, or raters. {why}"
    return f"has no column ['rater_id', 'rating']; it has {frame.columns}."


def _melt(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """Turn one column per trait into rows; an empty cell was not rated.

    A number that never varies within a rater, or never within a picture, describes the rater or the picture.
    """
    if "trait" in frame.columns:
        msg = f"{where} has a column 'trait' and no column 'rating'; it has {frame.columns}. {SHAPE_TO_USE}"
        raise TableError(msg)
    fixed = {KEY, "rater_id"}
    found, mixed = [], []
    for name in frame.columns:
        if name in fixed:
            continue
        if _is_numeric(frame[name]):
            found.append(name)
        elif 2 * as_numbers(frame[name]).count() > frame.height:
            mixed.append(name)
    if mixed:
        bad = frame.filter(as_numbers(frame[mixed[0]]).is_null() & ~is_missing(frame[mixed[0]]))
        msg = (
            f"{where}: column {mixed[0]!r} holds numbers and {bad[mixed[0]][0]!r}, in {bad.height} rows. Correct these"
            " cells, or leave them empty."
        )
        raise TableError(msg)
    traits = [c for c in found if not (_describes(frame, c, by="rater_id") or _describes(frame, c, by=KEY))]
    if left := [c for c in found if c not in traits]:
        log.warning(
            "%s: no traits, because they have one value per rater or per picture: %s. To rate such a column, give one row"
            " per rating, with the columns trait and rating.",
            where,
            ", ".join(left),
        )
    if not traits:
        numbers = (
            "columns of numbers that differ within raters and pictures" if left else "columns of numbers"
        )
        msg = f"{where} has neither a column 'rating' nor {numbers}; it has {frame.columns}. {SHAPE_TO_USE}"
        raise TableError(msg)
    values = frame.with_columns(as_numbers(frame[c]) for c in traits)
    if twice := values.filter(values.select(KEY, "rater_id").is_duplicated()).rows(named=True):
        msg = f"{where}: {twice[0]['rater_id']!r} rates {twice[0][KEY]!r} in two rows. Keep one of them."
        raise TableError(msg)
    others = [c for c in frame.columns if c not in traits]
    long = values.unpivot(traits, index=others, variable_name="trait", value_name="rating")
    return long.drop_nulls("rating")


def _describes(frame: pl.DataFrame, column: str, *, by: str) -> bool:
    """Whether a column has one value for each value of `by`; it shows only if many rows repeat one."""
    values = frame.select(by, value=as_numbers(frame[column])).drop_nulls()
    counts = values.group_by(by).agg(pl.col("value").n_unique(), n=pl.len())
    several = counts.filter(pl.col("n") > 1)
    shows = several.height >= MIN_REPEATED and 2 * several["n"].sum() >= values.height
    return bool((counts["value"] == 1).all() and shows)


def as_numbers(values: pl.Series) -> pl.Series:
    """Turn a column into Float64; a comma may stand for the decimal point; null where there is no number."""
    if not (values.dtype.is_numeric() or values.dtype == pl.String):  # dates and truth values are no numbers
        return pl.Series(values.name, [None] * len(values), dtype=pl.Float64)
    if values.dtype == pl.String:
        values = values.str.strip_chars().str.replace(",", ".", literal=True)
    return values.cast(pl.Float64, strict=False).fill_nan(None)


def is_missing(values: pl.Series) -> pl.Series:
    """Return which cells are empty, or hold a usual word for nothing, such as NA."""
    return values.cast(pl.String).str.strip_chars().str.to_lowercase().fill_null("").is_in(_MISSING)


def _is_numeric(values: pl.Series) -> bool:
    if values.dtype.is_nested():
        return False
    numbers = as_numbers(values)
    return bool(numbers.count() and (numbers.is_not_null() | is_missing(values)).all())


def name_of(trait: str) -> str:
    """Turn a trait as people write it into a name for columns and folders: letters, digits and underscores."""
    return re.sub(r"[^\w]+", "_", unicodedata.normalize("NFC", trait)).strip("_")


def choose_traits(
    frame: pl.DataFrame, traits: Sequence[str] | None, *, taken: Collection[str], where: str
) -> pl.DataFrame:
    """Keep the rows of the chosen traits, and name each trait by :func:`name_of`.

    Raises
    ------
    TableError
        If a chosen trait was not rated, or if the columns of two traits, or of a trait and another table, would have the
        same name. The message lists all problems.
    """
    written = frame["trait"].unique().sort().to_list()
    names = {trait: name_of(trait) for trait in written}
    if traits is not None:
        wanted = {name_of(trait): trait for trait in traits}
        if unknown := [trait for name, trait in wanted.items() if name not in names.values()]:
            raise TableError("\n".join(_unknown(trait, written, where) for trait in unknown))
        names = {trait: name for trait, name in names.items() if name in wanted}
        frame = frame.filter(pl.col("trait").is_in([*names]))
    if problems := [*_name_problems(names, taken)]:
        raise TableError(f"{where}: " + "\n".join(problems))
    return frame.with_columns(pl.col("trait").replace_strict(names, return_dtype=pl.String))


def _unknown(trait: str, rated: Sequence[str], where: str) -> str:
    lower = {t.casefold(): t for t in rated}
    near = get_close_matches(trait.casefold(), lower, n=1, cutoff=0.5)
    hint = f" Did you mean {lower[near[0]]!r}?" if near else ""
    return f"{where} has no ratings of the trait {trait!r}; rated are {list(rated)}.{hint} Correct ratings.traits."


def _name_problems(names: dict[str, str], taken: Collection[str]) -> Iterable[str]:
    """Yield a sentence for each trait that cannot be the name of columns, or shares one."""
    owner: dict[str, str] = {}
    for trait, name in names.items():
        if not name or len(name) > MAX_NAME:
            yield (
                f"the trait {trait!r} cannot name a column: it needs 1 to {MAX_NAME} letters or digits. Rename it."
            )
            continue
        if name in taken or name in _RESERVED:
            yield (
                f"the trait {trait!r} has the name of another column of the tables, such as an attribute. Rename it, for"
                f" example to {f'rated_{name}'!r}."
            )
            continue
        for column in (f"{name}{part}".casefold() for part in (*PARTS, *RATED)):
            if column in owner:
                yield (
                    f"the traits {owner[column]!r} and {trait!r} would both have the column {column!r}. Rename one."
                )
                break
            owner[column] = trait
