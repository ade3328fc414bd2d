"""Measure how far the probabilities of labels can be trusted: calibration, temperature, and label sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.audit.confusion import option_codes
from facestats.audit.label_sources import probs_column
from facestats.audit.match_truth import match_truth
from facestats.audit.temperature import (
    apply_temperature,
    calibration_error,
    chance_errors,
    conformal_threshold,
    fit_temperature,
    in_set,
    log_loss,
    split_folds,
    temperature_interval,
)
from facestats.core.tables import KEY, TRUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.attribute_settings import AttributeSettings

MIN_ROWS = 20  # faces with known truth that an attribute needs


def calibration(
    labels: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame,
    *,
    coverage: float = 0.9,
    n_repeats: int = 20,
    seed: int = 0,
) -> pl.DataFrame:
    """Measure the calibration of probabilities, and how temperature scaling and label sets perform.

    Everything is measured on held-out rows: the temperature and the threshold of the sets are fitted on a random half,
    the figures are computed on the other half, both ways, `n_repeats` times.

    Parameters
    ----------
    labels
        Table `attributes`, `master`, or another with `a_probs` (Array(Float32, n_options)); if it has `probe_a_probs`,
        these are used.
    attributes
        ``cfg.attributes``. An attribute with fewer than 20 rows of known truth is left out.
    truth
        Table of :func:`facestats.human_labels.read_truth`.
    coverage
        Share of rows whose label set should contain the truth, between 0 and 1.
    n_repeats
        Number of random halvings.
    seed
        Seed of the halvings and of `ece_chance`.

    Returns
    -------
    One row per attribute: `attribute`, `source` (String: image or probe, whose probabilities were used), `n` (Int64) and,
    all Float64:

    - `temperature`, `temperature_low`, `temperature_high`: fitted on all rows, with its 95 % profile likelihood interval;
      above 1 the model is overconfident (Guo et al. 2017);
    - `ece_chance`, `ece_chance_high`: mean and 95 % quantile of the calibration error that calibrated probabilities show
      by chance with as few rows;
    - `ece`, `ece_scaled`: expected calibration error before and after temperature scaling (Naeini et al. 2015);
    - `log_loss`, `log_loss_scaled`: mean negative log probability of the truth before and after;
    - `coverage`, `set_size`: share of label sets that contain the truth, and their mean number of options;
    - `accuracy`: share of correct labels.

    Raises
    ------
    TableError
        If the truth has rows but none of its pictures is in `labels`.

    Examples
    --------
    Forty labels are stated with a probability of 90 %, but only 30 of them are correct:

    >>> import polars as pl
    >>> import facestats as fs
    >>> ids, probs = [f"{i}.jpg" for i in range(40)], pl.Series([[0.9, 0.1]] * 40, dtype=pl.Array(pl.Float32, 2))
    >>> labels = pl.DataFrame({"image_id": ids, "age_probs": probs})
    >>> truth = pl.DataFrame({"image_id": ids, "true_age": ["child"] * 30 + ["elderly"] * 10})
    >>> found = fs.audit.calibration(labels, fs.testing.example_project().attributes, truth)
    >>> found.select("n", "accuracy", pl.col("temperature").round(1)).row(0)
    (40, 0.75, 2.0)
    """
    rows = []
    for name in attributes:
        source, probs, true = _known_probs(labels, truth, name, list(attributes[name].options))
        if len(true) < MIN_ROWS:
            continue
        correct = probs.argmax(axis=1) == true
        folds = list(split_folds(len(true), n_repeats=n_repeats, seed=seed))
        measured = [_measure_held_out(probs, true, fit, held, coverage=coverage) for fit, held in folds]
        errors = chance_errors(probs.max(axis=1), [held for _, held in folds], seed=seed)
        chance = errors.mean(), np.quantile(errors, 0.95)
        temperature = (fit_temperature(probs, true), *temperature_interval(probs, true))
        rows.append(
            (name, source, len(true), *temperature, *chance, *np.mean(measured, axis=0), correct.mean())
        )
    names = (
        "temperature",
        "temperature_low",
        "temperature_high",
        "ece_chance",
        "ece_chance_high",
        "ece",
        "ece_scaled",
        "log_loss",
        "log_loss_scaled",
        "coverage",
        "set_size",
        "accuracy",
    )
    schema = {"attribute": pl.String, "source": pl.String, "n": pl.Int64, **dict.fromkeys(names, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def label_sets(
    labels: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame,
    *,
    coverage: float = 0.9,
) -> pl.DataFrame:
    """List for every picture the options that cannot be ruled out, for every attribute with known truth.

    Parameters
    ----------
    labels
        Table `attributes`, `master`, or another with `a_probs` (Array(Float32, n_options)); if it has `probe_a_probs`,
        these are used.
    attributes
        ``cfg.attributes``. An attribute with fewer than 20 rows of known truth is left out.
    truth
        Table of :func:`facestats.human_labels.read_truth`; it sets the threshold. The coverage holds for pictures that
        resemble these.
    coverage
        Share of new pictures whose set should contain the truth, between 0 and 1.

    Returns
    -------
    `image_id` (String) and, per attribute `a`, `a_set` (List(Enum)) and `a_set_source` (String: image or probe, whose
    probabilities were used). A set is null if the picture has no vector. It is empty if no option is probable enough;
    if labels are right more often than `coverage` asks, some sets are empty by construction.

    Raises
    ------
    TableError
        If the truth has rows but none of its pictures is in `labels`.

    Examples
    --------
    The labels state 90 % but only 30 of 40 are correct, so that "elderly" cannot be ruled out:

    >>> import polars as pl
    >>> import facestats as fs
    >>> ids, probs = [f"{i}.jpg" for i in range(40)], pl.Series([[0.9, 0.1]] * 40, dtype=pl.Array(pl.Float32, 2))
    >>> labels = pl.DataFrame({"image_id": ids, "age_probs": probs})
    >>> truth = pl.DataFrame({"image_id": ids, "true_age": ["child"] * 30 + ["elderly"] * 10})
    >>> fs.audit.label_sets(labels, fs.testing.example_project().attributes, truth)["age_set"][0].to_list()
    ['child', 'elderly']
    """
    columns = [labels[KEY]]
    for name, attribute in attributes.items():
        options = list(attribute.options)
        source, probs, true = _known_probs(labels, truth, name, options)
        if len(true) < MIN_ROWS:
            continue
        threshold = conformal_threshold(probs, true, coverage)
        sets = [
            None if row is None else [o for o, p in zip(options, row, strict=True) if p >= threshold - 1e-9]
            for row in labels[probs_column(labels.columns, name)[1]].to_list()
        ]
        columns.append(pl.Series(f"{name}_set", sets, dtype=pl.List(pl.Enum(options))))
        columns.append(pl.Series(f"{name}_set_source", [source] * labels.height, dtype=pl.String))
    return pl.DataFrame(columns)


def _measure_held_out(
    probs: NDArray[np.float64],
    true: NDArray[np.int64],
    fit: NDArray[np.intp],
    held: NDArray[np.intp],
    *,
    coverage: float,
) -> tuple[float, ...]:
    """Fit temperature and threshold on one half; measure ece, log loss (each before, after), coverage, set size."""
    scaled = apply_temperature(probs[held], fit_temperature(probs[fit], true[fit]))
    sets = in_set(probs[held], conformal_threshold(probs[fit], true[fit], coverage))
    correct = probs[held].argmax(axis=1) == true[held]
    return (
        calibration_error(probs[held].max(axis=1), correct),
        calibration_error(scaled.max(axis=1), correct),
        log_loss(probs[held], true[held]),
        log_loss(scaled, true[held]),
        float(sets[np.arange(len(held)), true[held]].mean()),
        float(sets.sum(axis=1).mean()),
    )


def _known_probs(
    labels: pl.DataFrame, truth: pl.DataFrame, name: str, options: list[str]
) -> tuple[str, NDArray[np.float64], NDArray[np.int64]]:
    """Source, probabilities (n, n_options), and index of the true option, of the rows where both are known."""
    source, column = probs_column(labels.columns, name)
    if column not in labels.columns or TRUE_PREFIX + name not in truth.columns:
        return source, np.zeros((0, len(options))), np.zeros(0, dtype=np.int64)
    known = match_truth(truth, labels).select(KEY, TRUE_PREFIX + name)
    rows = known.join(labels.select(KEY, column), on=KEY, validate="1:1").drop_nulls().sort(KEY)
    true = option_codes(rows[TRUE_PREFIX + name], options)
    return source, rows[column].to_numpy().astype(np.float64), true
