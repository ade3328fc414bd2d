"""One row per trait: how much was rated, how far the raters agree, and whether a model predicts them, or why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.config import RatingsSettings
from facestats.core.tables import KEY, RATED_FACES, RELIABILITY, Rows, TableError, check_table
from facestats.ratings.fit import usable_rows
from facestats.ratings.reliability import average, pick_trait
from facestats.store.fingerprint import frame_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from facestats.core.config import Config
    from facestats.ratings.fit import RatingsFit

# column of the table -> measure of the held-out predictions
_HELD_OUT = {
    f"{column}{end}": f"{measure}{end}"
    for column, measure in (("held_out_r", "r"), ("skill", "skill"))
    for end in ("", "_low", "_high")
}
_COUNTS = {"n_faces": pl.Int64, "n_raters": pl.Int64, "n_ratings": pl.Int64}


def check_traits(
    embeddings: Rows, ratings: pl.DataFrame, *, settings: RatingsSettings | None = None
) -> pl.DataFrame:
    """Count the ratings of each trait, and say on which of them no model can be fitted.

    Parameters
    ----------
    embeddings
        As for :func:`facestats.fit_ratings`.
    ratings
        As returned by :func:`facestats.ratings.read`.
    settings
        ``cfg.ratings``: what a model reads, and the groups that are never divided.

    Returns
    -------
    One row per trait: `trait` (String), `n_faces`, `n_raters`, `n_ratings` (Int64) and `why_not` (String: why
    :func:`facestats.fit_ratings` would refuse this trait; null if it would not).

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import RatingsSettings
    >>> project = fs.testing.example_project()
    >>> checked = fs.ratings.check_traits(project.embeddings, project.ratings, settings=RatingsSettings(n_shape=0))
    >>> checked.select("trait", "n_faces", "n_raters", "n_ratings").row(0)
    ('attractiveness', 12, 4, 48)
    >>> checked["why_not"][0].partition(";")[0]
    'Only 12 faces were rated'
    """
    chosen = settings or RatingsSettings()
    rows = []
    for name in ratings["trait"].unique().sort():
        trait, matrix, images, _ = pick_trait(ratings, name)
        try:
            usable_rows(embeddings, matrix, images, settings=chosen)
            why = None
        except TableError:
            raise
        except ValueError as error:
            why = str(error)
        rows.append((trait, *matrix.shape, int(np.isfinite(matrix).sum()), why))
    schema = {"trait": pl.String, **_COUNTS, "why_not": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def tabulate(
    checked: pl.DataFrame, reliability: pl.DataFrame, fits: Mapping[str, RatingsFit]
) -> pl.DataFrame:
    """Make table `reliability`: one row per trait with the agreement of its raters, and what became of its model.

    Parameters
    ----------
    checked
        Table of :func:`check_traits`.
    reliability
        Table of :func:`facestats.ratings.reliability`.
    fits
        What :func:`facestats.fit_ratings` returned, by trait; traits without a fit are those that `checked` refuses.

    Returns
    -------
    One row per trait: `trait`, `n_faces`, `n_raters`, `n_ratings`; the measures of `reliability`, each with `_low` and
    `_high`; `held_out_r` and `skill` of the model with `_low` and `_high`, null if none was fitted; `model` (String, its
    name; null if none is applied) and `why_not` (String, why none is applied). A model that is no better than the mean
    rating is not applied: the lower end of the interval of its skill must be above 0.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import RatingsSettings
    >>> project = fs.testing.example_project()
    >>> checked = fs.ratings.check_traits(project.embeddings, project.ratings, settings=RatingsSettings(n_shape=0))
    >>> measured = fs.ratings.reliability(project.ratings, n_splits=20, n_resamples=20)
    >>> table = fs.ratings.tabulate(checked, measured, {})
    >>> table.select("trait", "n_ratings", "model").row(0)
    ('attractiveness', 48, None)
    """
    rows = []
    for row in checked.iter_rows(named=True):
        trait, fit = row["trait"], fits.get(row["trait"])
        measured = dict(_values(reliability.filter(trait=trait)))
        held_out = dict(_values(fit.skill)) if fit else {}
        row["model"] = None if fit is None or fit.refusal else fit.model.name
        row["why_not"] = fit.refusal if fit else row["why_not"]
        rows.append({**row, **measured, **{n: held_out.get(m) for n, m in _HELD_OUT.items()}})
    table = pl.DataFrame(rows, schema=dict(RELIABILITY.columns))
    return check_table(table, RELIABILITY)


def tabulate_faces(ratings: pl.DataFrame, fits: Mapping[str, RatingsFit]) -> pl.DataFrame:
    """Make table `rated_faces`: what people said of each face, and what a model that has not seen the face predicts.

    Parameters
    ----------
    ratings
        As returned by :func:`facestats.ratings.read`.
    fits
        What :func:`facestats.fit_ratings` returned, by trait.

    Returns
    -------
    One row per rated face: `image_id` and, for each trait `t`, `t_rating` (Float64, mean rating in scale points, corrected for
    the severity of its raters) and `t_n` (Int64, number of ratings); of a trait with a fit also `t_predicted`
    (Float64, held out), `t_residual` (Float64, rating minus prediction) and `t_fold` (Int64).

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> table = fs.ratings.tabulate_faces(project.ratings, {})
    >>> table.columns
    ['image_id', 'attractiveness_rating', 'attractiveness_n']
    >>> table.height
    12
    """
    table = ratings.select(pl.col(KEY).unique().sort())
    for trait in ratings["trait"].unique().sort():
        part = average(ratings, trait=trait).rename({"rating": f"{trait}_rating", "n": f"{trait}_n"})
        table = table.join(part, on=KEY, how="left", validate="1:1", maintain_order="left")
        if fit := fits.get(trait):
            names = {f"{trait}_{name}": pl.col(name) for name in ("predicted", "residual", "fold")}
            held_out = fit.held_out.select(KEY, **names)
            table = table.join(held_out, on=KEY, how="left", validate="1:1", maintain_order="left")
    counts = pl.selectors.ends_with("_n", "_fold") & pl.selectors.integer()
    return check_table(table.with_columns(counts.cast(pl.Int64)), RATED_FACES)


def _values(measures: pl.DataFrame) -> Iterator[tuple[str, float | None]]:
    """Yield the value, the lower and the upper end of each measure under their names."""
    for measure, *values in measures.select("measure", "value", "low", "high").rows():
        yield from zip((measure, f"{measure}_low", f"{measure}_high"), values, strict=True)


def table_settings(cfg: Config, ratings: pl.DataFrame) -> dict[str, Any]:
    """List what table `reliability` depends on, so that the store sees when it is stale.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.
    ratings
        As returned by :func:`facestats.ratings.read`.

    Returns
    -------
    The settings of the section `ratings`, the seed, and a hash of the ratings, by name.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> project = fs.testing.example_project()
    >>> cfg = Config(attributes=project.attributes)
    >>> {"seed", "ratings", "n_folds"} <= set(fs.ratings.table_settings(cfg, project.ratings))
    True
    """
    found = cfg.ratings.model_dump(exclude={"file"}) | {"seed": cfg.seed, "ratings": frame_digest(ratings)}
    return dict(sorted(found.items()))
