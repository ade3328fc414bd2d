"""Stage 05: apply trained models of ratings to stored vectors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core import progress
from facestats.core.protocols import ModelError
from facestats.core.tables import KEY, TableError, check_columns
from facestats.ratings.fit import columns_as_arrays
from facestats.ratings.layout import PARTS, name_of
from facestats.ratings.model import RatingsModel, RatingsModels, same_encoder
from facestats.ratings.regression import SHAPE

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from facestats.core.protocols import Encoder

_MADE_BY = "fs.embed_faces (notebooks/02_embeddings.ipynb); landmarks by fs.align_faces"
_DTYPES = dict(zip(PARTS, (pl.Float32, pl.Float32, pl.Float32, pl.Float32, pl.Boolean), strict=True))


def rate_faces(embeddings: pl.DataFrame, model: RatingsModel | RatingsModels) -> pl.DataFrame:
    """Predict the mean rating of every face with a trained model of one trait, or with one of each of several traits.

    Parameters
    ----------
    embeddings
        Table of stage 02; join `landmarks` of stage 01 if ``model.needs_landmarks``.
    model
        From :func:`facestats.fit_ratings`, :func:`facestats.ratings.load_model` or
        :func:`facestats.ratings.load_models`.

    Returns
    -------
    All rows: `image_id` and, for each trait `t`: `t` (Float32, scale points, null without a vector), `t_sd` (Float32,
    standard deviation of the prediction), `t_low` and `t_high` (Float32, interval with the coverage that the model was
    trained for) and `t_ood` (Boolean: farther from the training faces than 99 % of the held-out faces; such a
    prediction is unreliable).

    Raises
    ------
    TableError
        If a column is missing or has another dimension, or if two models predict the same trait.

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
    >>> fit = fs.fit_ratings(vectors, ratings, fs.models.ridge(), encoder="clip@1", settings=settings)
    >>> fs.ratings.rate_faces(vectors, fit.model).columns[1:]
    ['attractiveness', 'attractiveness_sd', 'attractiveness_low', 'attractiveness_high', 'attractiveness_ood']
    """
    models = model.models if isinstance(model, RatingsModels) else (model,)
    out = embeddings.select(KEY)
    for one in models:
        rated = _rate(embeddings, one)
        if twice := [c for c in rated.columns if c in out.columns and c != KEY]:
            msg = f"two models would both write the column {twice[0]!r}; give one model per trait"
            raise TableError(msg)
        out = out.join(rated, on=KEY, how="left", validate="1:1", maintain_order="left")
    progress.advance(embeddings.height)
    return out


def _rate(embeddings: pl.DataFrame, model: RatingsModel) -> pl.DataFrame:
    """Predict one trait for the faces that have all that the model reads."""
    needed = [*model.dims, *([SHAPE] if model.needs_landmarks else [])]
    check_columns(embeddings, KEY, *needed, made_by=_MADE_BY)
    for column, dim in model.dims.items():
        stored = embeddings.schema[column]
        if not isinstance(stored, pl.Array) or stored.size != dim:
            msg = (
                f"{column} is {stored}, but {model.name} reads {dim} dimensions made by {model.encoder!r}. Embed the"
                " faces with that encoder, or train a model on these vectors (fs.fit_ratings)."
            )
            raise TableError(msg)
    known = embeddings.select(KEY, *needed).drop_nulls(needed)
    found = model.predict(columns_as_arrays(known, needed)) if known.height else {}
    columns = {
        f"{model.trait}{part}": pl.Series(found.get(part.lstrip("_") or "value", []), dtype=dtype)
        for part, dtype in _DTYPES.items()
    }
    return known.select(KEY).with_columns(**columns)


def load_model(folder: str | os.PathLike[str], *, encoder: Encoder | str) -> RatingsModel:
    """Read a saved model, and refuse it if it was trained on vectors of another encoder.

    Parameters
    ----------
    folder
        Folder that ``model.save`` wrote.
    encoder
        Encoder that made the vectors to be rated, or its name. The precision (last word of the name) may differ.

    Returns
    -------
    The model, for :func:`facestats.ratings.rate_faces`.

    Raises
    ------
    ModelError
        If the files cannot be read, or if the model was trained on vectors of another encoder.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> fs.ratings.load_model(project.folder / "models", encoder=project.encoder)
    Traceback (most recent call last):
        ...
    facestats.core.protocols.ModelError: there is no ratings model in ...
    """
    model = RatingsModel.load(folder)
    name = encoder if isinstance(encoder, str) else encoder.name
    if not same_encoder(model.encoder, name):
        msg = (
            f"the ratings model in {folder} reads vectors of {model.encoder!r}, but these are of {name!r} and cannot be"
            f" compared. Embed the faces with {model.encoder!r}, or train a model on these vectors (fs.fit_ratings)."
        )
        raise ModelError(msg)
    return model


def load_models(
    folder: str | os.PathLike[str], traits: Sequence[str], *, encoder: Encoder | str
) -> RatingsModels:
    """Read the saved models of several traits, to apply them together.

    Parameters
    ----------
    folder
        Folder that holds one folder per trait: ``cfg.models_dir``.
    traits
        Names of the traits.
    encoder
        Encoder that made the vectors to be rated, or its name.

    Returns
    -------
    The models as one, for :func:`facestats.ratings.rate_faces`.

    Raises
    ------
    ModelError
        If a model cannot be read, or was trained on vectors of another encoder.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> fs.ratings.load_models(project.folder / "models", ["calm", "kind"], encoder=project.encoder)
    Traceback (most recent call last):
        ...
    facestats.core.protocols.ModelError: there is no ratings model in ...calm...
    """
    return RatingsModels(tuple(load_model(Path(folder) / name_of(t), encoder=encoder) for t in traits))
