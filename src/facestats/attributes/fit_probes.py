"""Learn attributes from human labels, and test whether that labels better than the prompts."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl

from facestats.attributes.probe_fitting import LabelledRows, assess
from facestats.attributes.probes import (
    CURVE,
    MIN_COSINE,
    REPORT,
    Probe,
    Probes,
    load_probes,
    probes_name,
)
from facestats.attributes.zero_shot import MADE_BY, label_attributes
from facestats.core.groups import number_people
from facestats.core.protocols import ModelError
from facestats.core.tables import KEY, VIEWS, TableError, check_columns, take_rows

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.attribute_settings import AttributeSettings
    from facestats.core.protocols import Encoder

    # the probe of each attribute that could be fitted, `probes.REPORT` and `probes.CURVE`
    Fitted: TypeAlias = tuple[dict[str, Probe], pl.DataFrame, pl.DataFrame]


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
    """Learn attributes from human labels, and test whether that labels better than the prompts.

    A probe is a logistic regression with an L2 penalty. It is tested in 5 folds that keep near-duplicates and the
    pictures of one person together. A probe is promoted if the 95 % interval of its gain in accuracy over zero-shot
    (paired cluster bootstrap; Davison & Hinkley 1997, section 3.8) lies above zero. Rows that were chosen for being
    hard are learned from, but not tested on.

    Parameters
    ----------
    embeddings
        Table of stage 02, lazy or not. Rows without a label are not used; of a lazy table they are not read.
    labels
        From :func:`facestats.human_labels.read`. A column `person` keeps the pictures of one person together.
    attributes
        ``cfg.attributes``: views, options and prompts.
    encoder
        The encoder that made `embeddings`. Its name is enough where its text side is not available; then there is
        no zero-shot to compare with, and no probe is promoted.
    seed
        Seed of the folds and the resamples.
    file
        File that keeps the probes. The probe of an attribute is read from it as long as its labels, their vectors, its
        prompts and the settings are the same; otherwise it is fitted again, and the file is replaced.
    min_cosine
        Cosine similarity, -1 to 1, from which two pictures count as near-duplicates.

    Returns
    -------
    The probes: `fitted`, `promoted`, `report` (one row per attribute that has labels) and `curves` (accuracy by the
    number of labels). All are empty without labels. An attribute with too few labels has no probe; the column `why`
    of its report says what is missing.

    Raises
    ------
    TableError
        If no label belongs to a picture in `embeddings`, or if a column is missing.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> labels = fs.human_labels.read("no_file.csv", project.attributes, truth=project.truth)
    >>> probes = fs.attributes.fit_probes(
    ...     project.embeddings, labels, project.attributes, encoder=project.encoder
    ... )
    >>> probes.report.select("attribute", "n", "promoted", "why").rows()
    [('age', 12, False, '12 rows to test on, 20 are needed')]
    """
    check_columns(labels, KEY, "attribute", "value", "reason", made_by="fs.human_labels.read")
    check_columns(embeddings.lazy().head(0).collect(), KEY, made_by=MADE_BY)
    embeddings = take_rows(embeddings, labels[KEY])
    encoder_name = encoder if isinstance(encoder, str) else encoder.name
    name_of = partial(
        probes_name,
        embeddings,
        encoder=encoder_name,
        seed=seed,
        min_cosine=min_cosine,
        prompted=not isinstance(encoder, str),
    )
    name = name_of(labels, attributes=attributes)
    kept = _read_kept(file, encoder_name)
    if kept is not None and kept.name == name:
        return kept
    answers = labels.drop_nulls("value")
    rows = embeddings.join(answers.select(KEY).unique(), on=KEY, how="semi", maintain_order="left")
    if answers.height and rows.is_empty():
        msg = (
            f"no label belongs to a picture in embeddings: the labels are of {answers[KEY][0]!r} and others."
            " Use labels and embeddings of the same folder of pictures."
        )
        raise TableError(msg)
    labelled = {a: s for a, s in attributes.items() if answers["attribute"].eq(a).any()}
    parts = {a: name_of(labels.filter(attribute=a), attributes={a: s}) for a, s in labelled.items()}
    changed = {a: s for a, s in labelled.items() if kept is None or kept.parts.get(a) != parts[a]}
    zero_shot = None if isinstance(encoder, str) or not changed else label_attributes(rows, encoder, changed)
    found = _fit_all(rows, answers, zero_shot, changed, seed=seed, min_cosine=min_cosine)
    fitted, report, curves = found if kept is None else _join_kept(found, kept, labelled)
    probes = Probes(name, encoder_name, fitted, report, curves, parts)
    if file is not None:
        probes.save(file)
    return probes


def _read_kept(file: str | os.PathLike[str] | None, encoder: str) -> Probes | None:
    """Read the probes of an earlier call; None if there are none for this encoder, or the file is damaged."""
    if file is not None and Path(file).is_file():
        with suppress(ModelError):
            return load_probes(file, encoder)
    return None


def _join_kept(found: Fitted, kept: Probes, attributes: Mapping[str, AttributeSettings]) -> Fitted:
    """Add the kept probes of the attributes that were not fitted again, in the order of `attributes`."""
    fitted, *frames = found
    again = frames[0]["attribute"].to_list()
    both = {a: p for a, p in kept.fitted.items() if a not in again} | fitted
    name, order = pl.col("attribute"), list(attributes)
    report, curves = (
        pl.concat([new, old.filter(~name.is_in(again))])
        .filter(name.is_in(order))
        .sort(name.cast(pl.Enum(order)), maintain_order=True)
        for new, old in zip(frames, (kept.report, kept.curves), strict=True)
    )
    return {a: both[a] for a in attributes if a in both}, report, curves


def _fit_all(
    rows: pl.DataFrame,
    answers: pl.DataFrame,
    zero_shot: pl.DataFrame | None,
    attributes: Mapping[str, AttributeSettings],
    *,
    seed: int,
    min_cosine: float,
) -> Fitted:
    """Fit and test one probe per attribute: the probes, ``probes.REPORT`` and ``probes.CURVE``."""
    fitted, reports, curves = {}, [], []
    for attribute, settings in attributes.items():
        joined = _join_labels(rows, answers.filter(attribute=attribute), settings)
        labelled = _to_arrays(joined, list(settings.options), min_cosine)
        correct = None if zero_shot is None else _is_correct(joined, zero_shot.select(KEY, label=attribute))
        report, curve, parts = assess(labelled, correct, seed=seed)
        reports.append({"attribute": attribute, **report})
        curves += [{"attribute": attribute, **point} for point in curve]
        if parts is not None:
            fitted[attribute] = Probe(tuple(settings.options), settings.view, *parts, tuple(joined[KEY]))
    return fitted, pl.DataFrame(reports, schema=REPORT), pl.DataFrame(curves, schema=CURVE)


def _join_labels(rows: pl.DataFrame, answers: pl.DataFrame, settings: AttributeSettings) -> pl.DataFrame:
    """Rows with a vector and a label: key, `vector`, `value`, `reason`, and `person` where `answers` has it."""
    column = VIEWS[settings.view]
    check_columns(rows, column, made_by=MADE_BY)
    vectors = rows.select(KEY, vector=column).drop_nulls()
    answers = answers.select(KEY, "value", "reason", pl.selectors.by_name("person", require_all=False))
    return vectors.join(answers, on=KEY, validate="1:1", maintain_order="left")


def _to_arrays(joined: pl.DataFrame, options: list[str], min_cosine: float) -> LabelledRows:
    """Labelled rows as arrays; rows that were chosen for being hard are not tested on."""
    values = np.array([options.index(v) for v in joined["value"]], dtype=np.int64)
    tested = (joined["reason"].is_null() | (joined["reason"] == "random")).to_numpy()
    vectors = joined["vector"].to_numpy().astype(np.float32, copy=False)
    people = number_people(joined["person"]) if "person" in joined.columns else None
    return LabelledRows(vectors, values, tested, len(options), min_cosine, people)


def _is_correct(joined: pl.DataFrame, zero_shot: pl.DataFrame) -> NDArray[np.float64]:
    """1 where the prompts gave the same label as people, else 0."""
    both = joined.join(zero_shot, on=KEY, how="left", validate="1:1", maintain_order="left")
    return (both["label"].cast(pl.String) == both["value"]).to_numpy().astype(np.float64)
