"""Learn attributes from human labels, and find out where that labels better than the prompts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from facestats.attributes.probe_fitting import fit_all
from facestats.attributes.probes import MIN_COSINE, Probes, load_probes, probes_name
from facestats.attributes.zero_shot import MADE_BY, label_attributes
from facestats.core.protocols import ModelError
from facestats.core.tables import KEY, check_columns, take_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import polars as pl

    from facestats.core.config import AttributeSettings
    from facestats.core.protocols import Encoder


def fit_probes(
    embeddings: pl.DataFrame | pl.LazyFrame,
    labels: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    *,
    encoder: Encoder | str,
    seed: int = 0,
    file: str | os.PathLike[str] | None = None,
    min_cosine: float = MIN_COSINE,
) -> Probes:
    """Learn attributes from human labels, and find out where that labels better than the prompts.

    A logistic regression with an L2 penalty, tested in 5 folds that keep near-duplicates and the pictures of one
    person together, is promoted where the paired bootstrap interval (95 %) of its gain in accuracy over zero-shot
    lies above zero. Rows that were picked for being hard are learnt from, but not tested on.

    Parameters
    ----------
    embeddings
        Table of stage 02, lazy or not; rows without a label do not count, and are not read.
    labels
        From :func:`facestats.human_labels.read`; a column `person` keeps the pictures of one person together.
    encoder
        The encoder that made `embeddings`; or only its name, where its text side is not at hand: then there is
        no zero-shot to compare with, and no probe is promoted.
    attributes
        ``cfg.attributes``: views, options and prompts.
    seed
        Fixes folds and resamples.
    file
        Where the probes are kept; read from there as long as labels, vectors, prompts and settings are the same.
    min_cosine
        Similarity from which on two pictures count as the same.

    Returns
    -------
    Probes with `report`, `curves` and `promoted`; empty without labels.

    Raises
    ------
    TableError
        If no label speaks of a picture in `embeddings`, or a column is missing.
    """
    check_columns(labels, KEY, "attribute", "value", "reason", made_by="fs.human_labels.read")
    check_columns(embeddings.lazy().head(0).collect(), KEY, made_by=MADE_BY)
    embeddings = take_rows(embeddings, labels[KEY])
    encoder_name = encoder if isinstance(encoder, str) else encoder.name
    name = probes_name(
        embeddings,
        labels,
        encoder_name,
        attributes=attributes,
        seed=seed,
        min_cosine=min_cosine,
        prompted=not isinstance(encoder, str),
    )
    if file is not None and Path(file).is_file():
        with suppress(ModelError):  # of another encoder, or none: fitted anew
            if (kept := load_probes(file, encoder_name)).name == name:
                return kept
    known = labels.drop_nulls("value")
    prompted = _prompted(embeddings, known, encoder, attributes)
    found = fit_all(embeddings, known, prompted, attributes, seed=seed, min_cosine=min_cosine)
    probes = Probes(name, encoder_name, *found)
    if file is not None:
        probes.save(file)
    return probes


def _prompted(
    embeddings: pl.DataFrame,
    known: pl.DataFrame,
    encoder: Encoder | str,
    attributes: Mapping[str, AttributeSettings],
) -> pl.DataFrame | None:
    """What the prompts say of the labelled rows; None where there are none, or no text side to encode them."""
    spoken_of = {a: s for a, s in attributes.items() if known["attribute"].eq(a).any()}
    if isinstance(encoder, str) or not spoken_of:
        return None
    rows = embeddings.join(known.select(KEY).unique(), on=KEY, how="semi", maintain_order="left")
    return label_attributes(rows, encoder, spoken_of)
