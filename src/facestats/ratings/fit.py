"""Stage 05: train a model of the mean rating by people, and test it on held-out faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.config import RatingsSettings
from facestats.core.display import count_of
from facestats.core.groups import group_pictures, number_people
from facestats.core.tables import KEY, TRUE_PREFIX, Rows, check_columns, take_rows
from facestats.ratings.agreement import additive_effects, split_variance
from facestats.ratings.file import read as read_ratings
from facestats.ratings.held_out import held_out_r, score_held_out
from facestats.ratings.model import REFERENCE_QUANTILES, RatingsModel
from facestats.ratings.regression import (
    check_folds,
    cross_validate,
    fit_features,
    fit_spread,
    held_out_quantile,
)
from facestats.ratings.reliability import pick_trait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facestats.core.config import Config
    from facestats.core.protocols import Encoder, Regressor
    from facestats.ratings.regression import HeldOut

MIN_FACES = 20
TINY = 1e-9  # mean ratings that differ less are the same
_EMBEDDED = "fs.embed_faces (notebooks/02_embeddings.ipynb)"


@dataclass(frozen=True)
class RatingsFit:
    """A trained model, and its held-out predictions from cross-validation.

    Parameters
    ----------
    model
        Trained on all faces; ``model.save(folder)`` stores it.
    held_out
        One row per face: `image_id`, `rating` (mean of the raters), `predicted` (by a model that saw neither the face
        nor its group), `residual` (rating minus predicted), `low` and `high` (prediction interval), `fold`, and
        `baseline` (mean rating of the faces that this model was trained on).
    skill
        `measure`, `value`, `low`, `high`. Measures of the held-out predictions, with 95 % bootstrap intervals over
        groups: `r` (correlation with the ratings after `baseline` is subtracted from both; about 0 for a model that
        learned nothing), `rmse` (scale points) and `skill` (share by which the squared error is smaller than that of
        `baseline`; negative if it is larger). For comparison: `single_rater` and `ceiling` of
        :func:`facestats.ratings.reliability`.
    """

    model: RatingsModel
    held_out: pl.DataFrame
    skill: pl.DataFrame

    @property
    def refusal(self) -> str | None:
        """Why the model should not be applied; None if it predicts better than the mean rating.

        The lower end of the 95 % interval of `skill` must be above 0. Of models of mere noise this lets through far less
        than one in twenty (benchmarks/ratings_refusal.py).
        """
        value, low, high = next(row[1:] for row in self.skill.iter_rows() if row[0] == "skill")
        if low > 0:
            return None
        found = f"skill {value:.2f} [{low:.2f}, {high:.2f}]"
        ceiling = next((row[1] for row in self.skill.iter_rows() if row[0] == "ceiling"), None)
        nothing = (
            " The raters agree on nothing (ceiling 0)." if ceiling is not None and ceiling < TINY else ""
        )
        return f"The model is not shown to be better than the mean rating: {found} on faces that it has not seen.{nothing}"

    def __repr__(self) -> str:
        found = {m: (value, low, high) for m, value, low, high in self.skill.iter_rows()}
        value, low, high = found["r"]
        return (
            f"RatingsFit({self.model.trait}, {self.held_out.height:,} faces, held-out r {value:.2f}"
            f" [{low:.2f}, {high:.2f}], ceiling {found['ceiling'][0]:.2f})"
        )


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

    Nested cross-validation: features and settings of the regressor are learned within each training part. Pictures of
    one person, and near-duplicates, are never divided between training and test.

    Parameters
    ----------
    embeddings
        Table of stage 02, lazy or not. Join `landmarks` of stage 01 if ``settings.n_shape`` is above 0, and the column
        ``settings.person`` of :func:`facestats.inputs.read_people` if it is set.
    ratings
        As returned by :func:`facestats.ratings.read`; ratings made by a model are refused here too.
    regressor
        ``fs.models.ridge()`` or ``fs.models.mlp()``.
    encoder
        Encoder that made the vectors, or its name.
    trait
        Name of the trait; may be omitted if there is only one.
    settings
        ``cfg.ratings``: features, groups, folds, scale and unit.
    seed
        Fixes folds, training and resamples.

    Returns
    -------
    The model, its held-out predictions and their skill: see :class:`facestats.ratings.fit.RatingsFit`.

    Raises
    ------
    ValueError
        If fewer than 20 faces have both vectors and ratings, if raters, groups or differences are too few (see
        :func:`facestats.ratings.check_traits`), or if a model made the ratings.

    Examples
    --------
    >>> import numpy as np
    >>> import polars as pl
    >>> import facestats as fs
    >>> from facestats.core.config import RatingsSettings
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(30, 8)).astype(np.float32)
    >>> x /= np.linalg.norm(x, axis=1, keepdims=True)
    >>> vectors = pl.DataFrame({"image_id": [str(i) for i in range(30)], "embedding": x})
    >>> rows = [(str(i), f"rater_{j}", 4 + 5 * x[i, 0] + rng.normal()) for i in range(30) for j in range(4)]
    >>> ratings = pl.DataFrame(rows, schema=["image_id", "rater_id", "rating"], orient="row")
    >>> settings = RatingsSettings(columns=("embedding",), n_shape=0)
    >>> fs.fit_ratings(vectors, ratings, fs.models.ridge(), encoder="clip@1", settings=settings)
    RatingsFit(attractiveness, 30 faces, held-out r 0.94 [0.89, 0.97], ceiling 0.95)
    """
    chosen = settings or RatingsSettings()
    trait, matrix, images, _ = pick_trait(read_ratings(ratings), trait)
    rows, groups = usable_rows(embeddings, matrix, images, settings=chosen)
    blocks = columns_as_arrays(rows, chosen.needed)
    y = rows["rating"].to_numpy()
    held_out = cross_validate(
        regressor, blocks, y, groups=groups, n_shape=chosen.n_shape, n_folds=chosen.n_folds, seed=seed
    )
    features = fit_features(blocks, n_shape=chosen.n_shape)
    layers = regressor.fit(features.apply(blocks), y, groups=groups, seed=seed)
    spread, sd = fit_spread(y - held_out.predicted, held_out.distance)
    width = held_out_quantile((y - held_out.predicted) / sd, chosen.level)
    skill = score_held_out(matrix, y, held_out, groups, seed=seed)
    fact_names = {m: f"held_out_{m}" for m in ("r", "rmse", "skill")}
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
        reference=tuple(float(q) for q in np.quantile(held_out.distance, REFERENCE_QUANTILES)),
        facts={"regressor": regressor.name, "n_faces": rows.height, "n_raters": matrix.shape[1]}
        | {fact_names.get(m, m): round(v, 4) for m, v in skill.select("measure", "value").iter_rows()},
    )
    return RatingsFit(model, _held_out_table(rows, held_out, width * sd), skill)


def _held_out_table(rows: pl.DataFrame, held_out: HeldOut, half: NDArray[np.float64]) -> pl.DataFrame:
    """Ratings beside their held-out predictions, with intervals of half width `half`."""
    return rows.select(KEY, "rating").with_columns(
        predicted=held_out.predicted,
        residual=rows["rating"].to_numpy() - held_out.predicted,
        low=held_out.predicted - half,
        high=held_out.predicted + half,
        fold=pl.Series(held_out.fold, dtype=pl.Int32),
        baseline=held_out.baseline,
    )


def residuals(held_out: pl.DataFrame, by: str, *, level: float = 0.95) -> pl.DataFrame:
    """Measure for each group of faces whether the held-out predictions are too high or too low.

    Parameters
    ----------
    held_out
        ``fit.held_out`` with the column `by` joined.
    by
        Column of groups; rows without a group are left out.
    level
        Coverage of the t intervals, 0 to 1.

    Returns
    -------
    One row per group, sorted: `group` (String), `n` (Int64), `residual` (Float64, mean of rating minus predicted, scale
    points; above 0, the model rates the group too low), `low`, `high` (Float64, interval of `residual`, null for a single
    face) and `r` (Float64, held-out correlation within the group as in ``fit.skill``; null for fewer than three faces).

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> held_out = pl.DataFrame({"rating": [3.0, 5.0, 2.0, 4.0], "predicted": [2.5, 4.0, 2.5, 4.5]})
    >>> held_out = held_out.with_columns(residual=pl.col("rating") - pl.col("predicted"), baseline=pl.lit(3.5))
    >>> groups = held_out.with_columns(gender=pl.Series(["female", "female", "male", "male"]))
    >>> fs.ratings.residuals(groups, "gender").select("group", "n", "residual").rows()
    [('female', 2, 0.75), ('male', 2, -0.5)]
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


def group_column(held_out: pl.DataFrame, by: Sequence[str]) -> str | None:
    """Choose the groups for :func:`residuals`: a known truth where there is some, else perceived labels.

    Parameters
    ----------
    held_out
        ``fit.held_out`` with labels and truth joined.
    by
        Names of attributes, the preferred one first: ``cfg.audit.by``.

    Returns
    -------
    The first of the columns ``true_<attribute>``, then ``<attribute>``, that is known for a face; None if there is none.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> held_out = pl.DataFrame({"gender": ["male", "female"], "true_age": [None, "adult"], "age": ["teen", "adult"]})
    >>> fs.ratings.group_column(held_out, ["gender", "age"])
    'true_age'
    """
    columns = [*(f"{TRUE_PREFIX}{name}" for name in by), *by]
    return next((c for c in columns if c in held_out.columns and held_out[c].count()), None)


def usable_rows(
    embeddings: Rows, matrix: NDArray[np.float64], images: list[str], *, settings: RatingsSettings
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """Join the mean ratings to the vectors, and number the groups that must stay in one fold.

    Parameters
    ----------
    embeddings
        As in :func:`fit_ratings`.
    matrix, images
        Ratings of one trait, (faces, raters), and the names of the faces.
    settings
        ``cfg.ratings``.

    Raises
    ------
    ValueError
        If no model can be fitted on what is there; the message says why.
    """
    columns = embeddings.lazy().head(0).collect()
    check_columns(columns, KEY, *settings.needed, made_by=_EMBEDDED)
    if settings.person:
        source = "fs.inputs.read_people from metadata.csv beside the pictures (notebooks/05_ratings.ipynb); join it"
        check_columns(columns, settings.person, made_by=source)
    split_variance(matrix)
    target = pl.DataFrame({KEY: images, "rating": additive_effects(matrix)[0]})
    found = take_rows(embeddings, target[KEY]).drop_nulls(settings.needed)
    rows = target.join(found, on=KEY, how="inner", validate="1:1", maintain_order="left")
    if target.height < MIN_FACES:
        msg = f"Only {count_of(target.height, 'face')} were rated; {MIN_FACES} are needed. Rate more faces."
        raise ValueError(msg)
    if rows.height < MIN_FACES:
        msg = (
            f"Only {rows.height} of {target.height} rated faces have all of {', '.join(settings.needed)};"
            f" {MIN_FACES} are needed. Rate or embed more faces, and check that image_id names the same pictures in both"
            f" tables{_example(embeddings, images) if rows.is_empty() else ''}."
        )
        raise ValueError(msg)
    if np.ptp(rows["rating"].to_numpy()) < TINY:
        msg = "All rated faces have the same mean rating: there is nothing to predict."
        raise ValueError(msg)
    groups = _groups(rows, settings)
    check_folds(groups, settings.n_folds)
    return rows, groups


def _example(embeddings: Rows, images: list[str]) -> str:
    first = embeddings.lazy().select(KEY).head(1).collect()[KEY].to_list()
    return (
        f" (the ratings name {images[0]!r}, the table names {first[0]!r})" if first else " (there are none)"
    )


def columns_as_arrays(rows: pl.DataFrame, columns: Sequence[str]) -> dict[str, NDArray[np.floating]]:
    """Take columns as arrays by name."""
    return {column: rows[column].to_numpy() for column in columns}


def _groups(rows: pl.DataFrame, settings: RatingsSettings) -> NDArray[np.int64]:
    """Number the groups that must stay in one fold: near-duplicates, and pictures of one person."""
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

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> cfg = Config(attributes=fs.testing.example_project().attributes)
    >>> list(fs.ratings.settings(cfg))
    ['settings', 'seed']
    """
    # a model does not depend on which other traits are chosen, nor on where the file lies
    return {"settings": cfg.ratings.model_copy(update={"traits": None, "file": None}), "seed": cfg.seed}
