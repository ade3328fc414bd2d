"""Stage 03: zero-shot labels of perceived attributes from stored vectors; opens no picture."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.attributes.probes import (
    Probe,
    Probes,
    check_encoder,
    softmax,
)
from facestats.core import progress
from facestats.core.protocols import ModelError
from facestats.core.tables import KEY, VIEWS, TableError, check_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings
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
    """Give every picture, for every attribute, the option whose prompts lie nearest in CLIP space.

    The vectors of all prompts of an option (templates times phrases) are averaged and brought back to length
    one (Radford et al. 2021, section 3.1.4); a softmax over the options uses the model's own temperature.

    Parameters
    ----------
    embeddings
        Table of stage 02, or any frame with its columns.
    encoder
        The encoder that made `embeddings`; only its text side runs here.
    attributes
        ``cfg.attributes``: where each attribute is looked at, its options and prompts.
    probes
        From :func:`facestats.attributes.fit_probes`: those that label better than the prompts add columns of their own.

    Returns
    -------
    `image_id` and, per attribute `a`: `a` (Enum in the order of the options, null only where there is no
    vector), `a_score` and `a_margin` (Float32: probability of the best option, and its lead over the second),
    `a_probs` (Array(Float32, number of options)); the same with the prefix `probe_` for each promoted probe,
    where a picture that the probe learnt from is labelled by the fold that had not seen it.

    Raises
    ------
    TableError
        If the column an attribute looks at is missing, or was made by another model.
    ModelError
        If `probes` were fitted on the vectors of another encoder.
    """
    check_columns(embeddings, KEY, made_by=MADE_BY)
    for name, attribute in attributes.items():
        _check_view(embeddings, name, attribute.view, encoder=encoder)
    anchors = _anchors(encoder, attributes)
    views = {attribute.view for attribute in attributes.values()}
    matrices = {view: _present(embeddings[VIEWS[view]]) for view in views}
    columns = [embeddings[KEY]]
    for name, attribute in attributes.items():
        present, matrix = matrices[attribute.view]
        probs = softmax(encoder.logit_scale * (matrix @ anchors[name].T))
        columns += _label(name, list(attribute.options), probs=probs, present=present)
    for name, probe in _usable(probes, encoder, attributes).items():
        present, matrix = matrices[attributes[name].view]
        probs = probe.probabilities(embeddings[KEY].filter(present), matrix)
        columns += _label(f"probe_{name}", list(probe.options), probs=probs, present=present)
    progress.advance(embeddings.height)
    return pl.DataFrame(columns)


def _usable(
    probes: Probes | None, encoder: Encoder, attributes: Mapping[str, AttributeSettings]
) -> dict[str, Probe]:
    """The promoted probes, after a check that they belong to these vectors and options."""
    if probes is None:
        return {}
    check_encoder(probes.encoder, encoder, where=probes.name)
    for name, probe in probes.promoted.items():
        if name not in attributes or probe.options != tuple(attributes[name].options):
            found = list(attributes[name].options) if name in attributes else list(attributes)
            msg = (
                f"the probe of {name!r} knows the options {list(probe.options)}, the configuration has {found}."
                " Fit the probes again."
            )
            raise ModelError(msg)
    return probes.promoted


def _check_view(embeddings: pl.DataFrame, name: str, view: str, *, encoder: Encoder) -> None:
    column = VIEWS[view]
    if column not in embeddings.columns:
        msg = (
            f"attribute {name!r} looks at the view {view!r}, but the frame has no column {column!r}; it has"
            f" {embeddings.columns}. It is made by {MADE_BY}; else leave the attribute out or change its view."
        )
        raise TableError(msg)
    dtype = embeddings.schema[column]
    if not isinstance(dtype, pl.Array) or dtype.inner not in (pl.Float32, pl.Float64):
        msg = f"column {column!r} is {dtype}, expected Array(Float32, {encoder.dim}) as {MADE_BY} makes it"
        raise TableError(msg)
    if dtype.size != encoder.dim:
        msg = (
            f"{column} has {dtype.size} dimensions, but encoder {encoder.name!r} has {encoder.dim}."
            " Load the encoder that made them."
        )
        raise TableError(msg)
    if embeddings.height and embeddings[column].null_count() == embeddings.height:
        log.info("no row has a vector in %s: attribute %s stays empty", column, name)


def _anchors(encoder: Encoder, attributes: Mapping[str, AttributeSettings]) -> dict[str, NDArray[np.float32]]:
    """Return one unit vector per option, (n_options, dim), of each attribute; equal prompts are encoded once."""
    prompts = {name: attribute.image_prompts() for name, attribute in attributes.items()}
    distinct = list(dict.fromkeys(p for options in prompts.values() for ps in options.values() for p in ps))
    vector = dict(zip(distinct, encoder.encode_texts(distinct), strict=True))
    return {
        name: _unit(np.stack([np.mean([vector[p] for p in ps], axis=0) for ps in options.values()]))
        for name, options in prompts.items()
    }


def _present(vectors: pl.Series) -> tuple[pl.Series, NDArray[np.float32]]:
    """Say which rows have a vector, and return those vectors, (n_present, dim)."""
    present = vectors.is_not_null()
    return present, vectors.filter(present).to_numpy().astype(np.float32, copy=False)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _label(
    name: str, options: list[str], *, probs: NDArray[np.float64], present: pl.Series
) -> list[pl.Series]:
    """Make the four columns of one attribute from the probabilities of the rows that are present."""
    ranked = np.sort(probs, axis=1)
    rows = np.full(len(present), len(probs), dtype=np.uint32)  # one past the end reads as null
    rows[present.to_numpy()] = np.arange(len(probs), dtype=np.uint32)
    index = pl.Series(rows)
    best = pl.Series(probs.argmax(axis=1).astype(np.uint32))
    labels = pl.Series(options, dtype=pl.Enum(options)).gather(best)
    series = [
        labels.alias(name),
        pl.Series(f"{name}_score", ranked[:, -1], dtype=pl.Float32),
        pl.Series(f"{name}_margin", ranked[:, -1] - ranked[:, -2], dtype=pl.Float32),
        pl.Series(f"{name}_probs", probs.astype(np.float32), dtype=pl.Array(pl.Float32, len(options))),
    ]
    return [s.extend_constant(None, 1).gather(index) for s in series]
