"""Stage 03: zero-shot labels of perceived attributes from stored vectors, without opening a picture."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.attributes.probes import Probe, Probes, check_encoder
from facestats.core import progress
from facestats.core.label_columns import label_columns, spread_rows
from facestats.core.protocols import ModelError
from facestats.core.tables import KEY, VIEWS, TableError, check_columns, has_length_one

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings, Config
    from facestats.core.protocols import Encoder

log = logging.getLogger(__name__)

MADE_BY = "fs.embed_faces (notebooks/02_embeddings.ipynb)"


def label_attributes(
    embeddings: pl.DataFrame,
    encoder: Encoder,
    attributes: Mapping[str, AttributeSettings],
    *,
    probes: Probes | None = None,
) -> pl.DataFrame:
    """Label each picture, for each attribute, with the option whose prompts are nearest in CLIP space.

    The vectors of all prompts of an option (templates times phrases) are averaged and scaled to length one (Radford
    et al. 2021, section 3.1.4). The probabilities are a softmax over the options, with the temperature of the model.

    Parameters
    ----------
    embeddings
        Table of stage 02, or any frame with its columns.
    encoder
        The encoder that made `embeddings`; only its text side is used.
    attributes
        ``cfg.attributes``: view, options and prompts of each attribute.
    probes
        From :func:`facestats.attributes.fit_probes`. The promoted ones, which label better than the prompts, add
        columns of their own.

    Returns
    -------
    One row per row of `embeddings`: `image_id` (String) and, for each attribute `a`:

    - `a` (Enum in the order of the options, null only where there is no vector),
    - `a_score` (Float32, probability of the best option),
    - `a_margin` (Float32, its lead over the second-best option),
    - `a_probs` (Array(Float32, number of options)).

    Each promoted probe adds the same columns with the prefix `probe_`; there, a picture that the probe learned from
    gets the label of the fold that was fitted without it.

    Raises
    ------
    TableError
        If the column that an attribute looks at is missing, or was made by another encoder, or holds a vector that is
        not finite or not of length one.
    ModelError
        If `probes` were fitted on the vectors of another encoder, or with other options.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> labels = fs.label_attributes(project.embeddings, project.encoder, project.attributes)
    >>> labels.columns[:5]
    ['image_id', 'age', 'age_score', 'age_margin', 'age_probs']
    >>> labels["age"][0], round(labels["age_score"][0], 2)
    ('child', 0.95)
    >>> labels.schema["age_probs"]
    Array(Float32, shape=(2,))
    """
    from scipy.special import softmax

    check_columns(embeddings, KEY, made_by=MADE_BY)
    for name, attribute in attributes.items():
        _check_view(embeddings, name, attribute.view, encoder=encoder)
    directions = _option_vectors(encoder, attributes)
    views = {attribute.view for attribute in attributes.values()}
    matrices = {view: _split_off_nulls(embeddings[VIEWS[view]]) for view in views}
    columns = [embeddings[KEY]]
    for name, attribute in attributes.items():
        present, matrix = matrices[attribute.view]
        logits = encoder.logit_scale * (matrix @ directions[name].T)
        probs = softmax(logits.astype(np.float64), axis=1)
        columns += spread_rows(label_columns(name, list(attribute.options), probs), present)
    for name, probe in _check_probes(probes, encoder, attributes).items():
        present, matrix = matrices[attributes[name].view]
        probs = probe.probabilities(embeddings[KEY].filter(present), matrix)
        columns += spread_rows(label_columns(f"probe_{name}", probe.options, probs), present)
    progress.advance(embeddings.height)
    return pl.DataFrame(columns)


def _check_probes(
    probes: Probes | None, encoder: Encoder, attributes: Mapping[str, AttributeSettings]
) -> dict[str, Probe]:
    """Check that the promoted probes belong to these vectors and options, and return them."""
    if probes is None:
        return {}
    check_encoder(probes.encoder, encoder, where=probes.name)
    for name, probe in probes.promoted.items():
        if name not in attributes or probe.options != tuple(attributes[name].options):
            found = list(attributes[name].options) if name in attributes else list(attributes)
            msg = (
                f"the probe of {name!r} knows the options {list(probe.options)}, the configuration has {found}."
                " Fit the probes again with fs.attributes.fit_probes (notebooks/03_attributes.ipynb)."
            )
            raise ModelError(msg)
    return probes.promoted


def _check_view(embeddings: pl.DataFrame, name: str, view: str, *, encoder: Encoder) -> None:
    """Raise TableError unless the column of a view holds vectors of this encoder."""
    column = VIEWS[view]
    if column not in embeddings.columns:
        msg = (
            f"attribute {name!r} has the view {view!r}, but the frame has no column {column!r}; it has"
            f" {embeddings.columns}. Make the column with {MADE_BY}, leave the attribute out, or change its view."
        )
        raise TableError(msg)
    dtype = embeddings.schema[column]
    if not isinstance(dtype, pl.Array) or dtype.inner not in (pl.Float32, pl.Float64):
        msg = f"column {column!r} is {dtype}, expected Array(Float32, {encoder.dim}). Make it with {MADE_BY}."
        raise TableError(msg)
    if dtype.size != encoder.dim:
        msg = (
            f"{column} has {dtype.size} dimensions, but encoder {encoder.name!r} has {encoder.dim}."
            " Load the encoder that made these vectors."
        )
        raise TableError(msg)
    present = embeddings.select(KEY, column).drop_nulls(column)
    bad = ~has_length_one(present[column].to_numpy()) if present.height else np.zeros(0, dtype=bool)
    if bad.any():
        msg = (
            f"{int(bad.sum())} vectors in {column} are not finite or not of length one, such as that of"
            f" {present[KEY][int(bad.argmax())]!r}. Make them with {MADE_BY}."
        )
        raise TableError(msg)
    if embeddings.height and present.is_empty():
        log.info("no row has a vector in %s: all labels of attribute %s are null", column, name)


def _option_vectors(
    encoder: Encoder, attributes: Mapping[str, AttributeSettings]
) -> dict[str, NDArray[np.float32]]:
    """One unit vector per option, (n_options, dim), for each attribute; equal prompts are encoded once."""
    prompts = {name: attribute.image_prompts() for name, attribute in attributes.items()}
    distinct = list(dict.fromkeys(p for options in prompts.values() for ps in options.values() for p in ps))
    vector = dict(zip(distinct, encoder.encode_texts(distinct), strict=True))
    return {
        name: _unit(np.stack([np.mean([vector[p] for p in ps], axis=0) for ps in options.values()]))
        for name, options in prompts.items()
    }


def _split_off_nulls(vectors: pl.Series) -> tuple[pl.Series, NDArray[np.float32]]:
    """Return which rows have a vector (Boolean), and these vectors, (n_present, dim)."""
    present = vectors.is_not_null()
    return present, vectors.filter(present).to_numpy().astype(np.float32, copy=False)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.label_attributes`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    A dictionary with `attributes`.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> cfg = Config(attributes=fs.testing.example_project().attributes)
    >>> list(fs.attributes.settings(cfg)["attributes"])
    ['age', 'hair_color']
    """
    return {"attributes": cfg.attributes}
