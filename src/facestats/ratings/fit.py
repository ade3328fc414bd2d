"""Stage 05: ratings by people (attractiveness or anything else): how far they agree, and a model of their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core import progress
from facestats.core.config import RatingsSettings
from facestats.core.groups import group_pictures, number_people
from facestats.core.protocols import ModelError
from facestats.core.tables import KEY, Rows, TableError, check_columns, take_rows
from facestats.ratings.agreement import additive_effects
from facestats.ratings.file import read as read_ratings
from facestats.ratings.held_out import held_out_r, score_held_out
from facestats.ratings.model import REFERENCE, RatingsModel, same_encoder
from facestats.ratings.regression import (
    SHAPE,
    cross_validate,
    fit_features,
    fit_spread,
    held_out_quantile,
)
from facestats.ratings.reliability import pick_trait

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facestats.core.config import Config
    from facestats.core.protocols import Encoder, Regressor
    from facestats.ratings.regression import HeldOut

MIN_FACES = 20
_EMBEDDED = "fs.embed_faces (notebooks/02_embeddings.ipynb)"


@dataclass(frozen=True)
class RatingsFit:
    """A trained model and what cross-validation said of it.

    Parameters
    ----------
    model
        Trained on all faces; ``model.save(folder)`` keeps it.
    held_out
        Per face `image_id`, `rating` (mean of the raters), `predicted` by a model that saw neither the face nor its
        group, `residual` (rating minus predicted), `low` and `high` (interval of the prediction), `fold`, and
        `baseline` (mean rating of the faces that this model was trained on).
    skill
        `measure`, `value`, `low`, `high`: `r` (correlation with the ratings, both less `baseline`, so that a model
        that learnt nothing has about 0), `rmse` and `skill` (share of the squared error of `baseline` that the
        prediction takes away; below 0 it adds some) of the held-out predictions (95 % bootstrap over groups),
        beside `single_rater` and `ceiling` of :func:`facestats.ratings.reliability`.
    """

    model: RatingsModel
    held_out: pl.DataFrame
    skill: pl.DataFrame


def fit_ratings(
    embeddings: pl.DataFrame | pl.LazyFrame,
    ratings: pl.DataFrame,
    regressor: Regressor,
    *,
    encoder: Encoder | str,
    trait: str | None = None,
    settings: RatingsSettings | None = None,
    seed: int = 0,
) -> RatingsFit:
    """Train a model of the mean rating on stored vectors, and test it on faces that it has not seen.

    Nested cross-validation: features and the regressor's settings are learnt inside each training part. Pictures
    of one person, and near-duplicates, never lie on both sides.

    Parameters
    ----------
    embeddings
        Table of stage 02, lazy or not; with `landmarks` of stage 01 joined where ``settings.n_shape`` is above 0, and the
        column ``settings.person`` of :func:`facestats.inputs.read_people` where that is set.
    ratings
        As :func:`facestats.ratings.read` returns them: models as raters are refused here too.
    regressor, encoder
        ``fs.models.ridge()`` or ``fs.models.mlp()``; the encoder that made the vectors, or its name.
    trait
        Which one; may be left out where there is only one.
    settings
        ``cfg.ratings``: features, groups, folds, scale and unit.
    seed
        Fixes the folds.

    Raises
    ------
    ValueError
        If fewer than 20 faces have both vectors and ratings, or a model made the ratings.
    """
    chosen = settings or RatingsSettings()
    trait, matrix, images, _ = pick_trait(read_ratings(ratings), trait)
    rows = _rated_rows(embeddings, pl.DataFrame({KEY: images, "rating": additive_effects(matrix)[0]}), chosen)
    blocks, keys = _blocks(rows, chosen.needed), _groups(rows, chosen)
    y = rows["rating"].to_numpy()
    held = cross_validate(
        regressor, blocks, y, groups=keys, n_shape=chosen.n_shape, n_folds=chosen.n_folds, seed=seed
    )
    features = fit_features(blocks, n_shape=chosen.n_shape)
    layers = regressor.fit(features.apply(blocks), y, groups=keys, seed=seed)
    spread, sd = fit_spread(y - held.predicted, held.distance)
    width = held_out_quantile((y - held.predicted) / sd, chosen.level)
    skill = score_held_out(matrix, y, held, keys, seed=seed)
    names = {m: f"held_out_{m}" for m in ("r", "rmse", "skill")}
    model = RatingsModel(
        trait=trait,
        unit=chosen.unit,
        scale=chosen.scale or (float(np.nanmin(matrix)), float(np.nanmax(matrix))),
        encoder=encoder if isinstance(encoder, str) else encoder.name,
        dims={c: blocks[c].shape[1] for c in chosen.columns},
        features=features,
        layers=layers,
        spread=(float(spread[0]), float(spread[1])),
        width=width,
        level=chosen.level,
        reference=tuple(float(q) for q in np.quantile(held.distance, REFERENCE)),
        facts={"regressor": regressor.name, "n_faces": rows.height, "n_raters": matrix.shape[1]}
        | {names.get(m, m): round(v, 4) for m, v in skill.select("measure", "value").iter_rows()},
    )
    return RatingsFit(model, _held_out(rows, held, width * sd), skill)


def _held_out(rows: pl.DataFrame, held: HeldOut, half: NDArray[np.float64]) -> pl.DataFrame:
    """Ratings beside what cross-validation predicted, with the interval of half width `half`."""
    return rows.select(KEY, "rating").with_columns(
        predicted=held.predicted,
        residual=rows["rating"].to_numpy() - held.predicted,
        low=held.predicted - half,
        high=held.predicted + half,
        fold=pl.Series(held.fold, dtype=pl.Int32),
        baseline=held.baseline,
    )


def rate_faces(embeddings: pl.DataFrame, model: RatingsModel) -> pl.DataFrame:
    """Predict the mean rating of every face by a trained model.

    Parameters
    ----------
    embeddings
        Table of stage 02; with `landmarks` joined where ``model.needs_landmarks``.
    model
        From :func:`fit_ratings` or :func:`facestats.ratings.load_model`.

    Returns
    -------
    `image_id` and, for the trait `t`: `t` (Float32, scale points, null without a vector), `t_sd` (standard deviation
    of the prediction), `t_low` and `t_high` (interval of the level the model was trained for), `t_ood` (Boolean: farther
    from the training faces than 99 % of held-out ones; such a prediction means little).

    Raises
    ------
    TableError
        If a column is missing or has another dimension.
    """
    needed = [*model.dims, *([SHAPE] if model.needs_landmarks else [])]
    check_columns(embeddings, KEY, *needed, made_by=f"{_EMBEDDED}; landmarks by fs.align_faces")
    for column, dim in model.dims.items():
        dtype = embeddings.schema[column]
        if not isinstance(dtype, pl.Array) or dtype.size != dim:
            msg = f"{column} is {dtype}, but {model.name} reads {dim} dimensions made by {model.encoder!r}"
            raise TableError(msg)
    known = embeddings.select(KEY, *needed).drop_nulls(needed)
    found = model.predict(_blocks(known, needed)) if known.height else {}
    kinds = {"value": pl.Float32, "sd": pl.Float32, "low": pl.Float32, "high": pl.Float32, "ood": pl.Boolean}
    columns = {
        model.trait if name == "value" else f"{model.trait}_{name}": pl.Series(
            found.get(name, []), dtype=kind
        )
        for name, kind in kinds.items()
    }
    progress.advance(embeddings.height)
    return embeddings.select(KEY).join(
        known.select(KEY).with_columns(**columns), on=KEY, how="left", validate="1:1", maintain_order="left"
    )


def load_model(folder: str | os.PathLike[str], *, encoder: Encoder | str) -> RatingsModel:
    """Read a saved model, and refuse it for vectors of another encoder.

    Parameters
    ----------
    folder
        Where ``model.save`` put it.
    encoder
        The encoder that made the vectors at hand, or its name.

    Raises
    ------
    ModelError
        If the files cannot be read, or the model was trained on another encoder's vectors.
    """
    model = RatingsModel.load(folder)
    name = encoder if isinstance(encoder, str) else encoder.name
    if not same_encoder(model.encoder, name):
        msg = (
            f"the ratings model in {folder} reads vectors of {model.encoder!r}, but these are of {name!r}, whose"
            " numbers mean something else. Embed with the first, or train a model on these (fs.fit_ratings)."
        )
        raise ModelError(msg)
    return model


def residuals(held_out: pl.DataFrame, by: str, *, level: float = 0.95) -> pl.DataFrame:
    """Say for each group whether held-out predictions are too high or too low.

    Parameters
    ----------
    held_out
        ``fit.held_out`` with the column `by` joined.
    by
        Column of groups.
    level
        Coverage of the t intervals.

    Returns
    -------
    `group`, `n`, `residual` (mean of rating minus predicted, scale points: above 0, the model rates the group too low),
    `low`, `high`, and `r` (held-out correlation inside the group, as in ``fit.skill``; null below three faces); groups in order.
    """
    from scipy.stats import t as student

    needed = ("rating", "predicted", "residual", "baseline", by)
    check_columns(held_out, *needed, made_by="fs.fit_ratings; join the column of groups")
    rows = []
    for (group,), part in held_out.drop_nulls(by).sort(by).group_by(by, maintain_order=True):
        values, n = part["residual"].to_numpy(), part.height
        half = student.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n) if n > 1 else np.nan
        r = held_out_r(*(part[c].to_numpy() for c in ("rating", "predicted", "baseline")))
        rows.append((str(group), n, values.mean(), values.mean() - half, values.mean() + half, r))
    names = ("residual", "low", "high", "r")
    schema = {"group": pl.String, "n": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(names).fill_nan(None))


def _rated_rows(embeddings: Rows, target: pl.DataFrame, settings: RatingsSettings) -> pl.DataFrame:
    columns = embeddings.lazy().head(0).collect()
    check_columns(columns, KEY, *settings.needed, made_by=_EMBEDDED)
    if settings.person:
        source = "fs.inputs.read_people from metadata.csv beside the pictures (notebooks/05_ratings.ipynb); join it"
        check_columns(columns, settings.person, made_by=source)
    found = take_rows(embeddings, target[KEY]).drop_nulls(settings.needed)
    rows = target.join(found, on=KEY, how="inner", validate="1:1", maintain_order="left")
    if rows.height < MIN_FACES:
        msg = (
            f"{rows.height} rated faces have {settings.needed}, {MIN_FACES} are needed; {target.height} faces are"
            " rated. Does image_id name the same pictures in both tables?"
        )
        raise ValueError(msg)
    return rows


def _blocks(rows: pl.DataFrame, columns: Sequence[str]) -> dict[str, NDArray[np.floating]]:
    return {column: rows[column].to_numpy() for column in columns}


def _groups(rows: pl.DataFrame, settings: RatingsSettings) -> NDArray[np.int64]:
    """Number the groups that must stay together: near-duplicates, and pictures of one person."""
    vectors = rows[settings.columns[-1]].to_numpy().astype(np.float32)
    people = number_people(rows[settings.person]) if settings.person else None
    return group_pictures(vectors, people, min_cosine=settings.min_cosine)


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.fit_ratings`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    `settings` and `seed`.
    """
    return {"settings": cfg.ratings, "seed": cfg.seed}
