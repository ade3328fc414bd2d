"""Whether the probabilities of labels can be trusted: calibration, temperature, and label sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

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
)
from facestats.core.tables import KEY, TRUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings

MIN_CALIBRATION = 20


def calibration(
    labels: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame,
    *,
    coverage: float = 0.9,
    n_repeats: int = 20,
    seed: int = 0,
) -> pl.DataFrame:
    """Ask whether probabilities mean what they say, and what temperature scaling and label sets make of them.

    Everything is measured on rows held out: temperature and set threshold come from one random half, the figures
    from the other, both ways, `n_repeats` times.

    Parameters
    ----------
    labels
        A table with `a_probs` (Array), such as `attributes` or `master`; where it has `probe_a_probs`, these count.
    attributes
        ``cfg.attributes``; those with fewer than 20 known rows are left out.
    truth
        As :func:`facestats.human_labels.read_truth` returns it.
    coverage
        Share of rows whose label set shall hold the truth.
    n_repeats, seed
        Random halvings, and what fixes them.

    Returns
    -------
    Per `attribute`: `source` of the probabilities (image, probe), `n`, `temperature` (of all rows; above 1 means that the model is too sure), `ece` and
    `ece_scaled` (expected calibration error before and after), `ece_chance` and `ece_chance_high` (mean and 95 %
    quantile of the error that probabilities which mean what they say show with so few rows), `log_loss` and `log_loss_scaled`, `coverage` (share
    of held-out sets that hold the truth), `set_size` (mean number of options in a set), `accuracy`.
    """
    rows = []
    for name in attributes:
        source, probs, true = _known_probs(labels, truth, name, list(attributes[name].options))
        if len(true) < MIN_CALIBRATION:
            continue
        right = probs.argmax(axis=1) == true
        folds = list(split_folds(len(true), repeats=n_repeats, seed=seed))
        measured = [_held_out_calibration(probs, true, fit, held, coverage=coverage) for fit, held in folds]
        errors = chance_errors(probs.max(axis=1), [held for _, held in folds], seed=seed)
        chance = errors.mean(), np.quantile(errors, 0.95)
        heat = fit_temperature(probs, true)
        rows.append((name, source, len(true), heat, *chance, *np.mean(measured, axis=0), right.mean()))
    names = (
        "temperature",
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


def _held_out_calibration(
    probs: NDArray[np.float64],
    true: NDArray[np.int64],
    fit: NDArray[np.intp],
    held: NDArray[np.intp],
    *,
    coverage: float,
) -> tuple[float, ...]:
    scaled = apply_temperature(probs[held], fit_temperature(probs[fit], true[fit]))
    sets = in_set(probs[held], conformal_threshold(probs[fit], true[fit], coverage))
    right = probs[held].argmax(axis=1) == true[held]
    return (
        calibration_error(probs[held].max(axis=1), right),
        calibration_error(scaled.max(axis=1), right),
        log_loss(probs[held], true[held]),
        log_loss(scaled, true[held]),
        float(sets[np.arange(len(held)), true[held]].mean()),
        float(sets.sum(axis=1).mean()),
    )


def label_sets(
    labels: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame,
    *,
    coverage: float = 0.9,
) -> pl.DataFrame:
    """Give every picture, for every attribute with known truth, all options that cannot be ruled out.

    Parameters
    ----------
    labels
        A table with `a_probs` (Array), such as `attributes` or `master`; where it has `probe_a_probs`, these count.
    attributes
        ``cfg.attributes``; those with fewer than 20 known rows are left out.
    truth
        As :func:`facestats.human_labels.read_truth` returns it; sets the threshold. New pictures must be like these.
    coverage
        Share of new pictures whose set shall hold the truth.

    Returns
    -------
    `image_id` and, per attribute `a`, `a_set` (List(Enum); null without a vector, and empty
    where no option is probable enough: the picture is unlike those with known truth) and `a_set_source` (whose
    probabilities it was made of: image, probe).
    """
    columns = [labels[KEY]]
    for name, attribute in attributes.items():
        options = list(attribute.options)
        source, probs, true = _known_probs(labels, truth, name, options)
        if len(true) < MIN_CALIBRATION:
            continue
        threshold = conformal_threshold(probs, true, coverage)
        sets = [
            None if row is None else [o for o, p in zip(options, row, strict=True) if p >= threshold - 1e-9]
            for row in labels[probs_column(labels.columns, name)[1]].to_list()
        ]
        columns.append(pl.Series(f"{name}_set", sets, dtype=pl.List(pl.Enum(options))))
        columns.append(pl.Series(f"{name}_set_source", [source] * labels.height, dtype=pl.String))
    return pl.DataFrame(columns)


def _known_probs(
    labels: pl.DataFrame, truth: pl.DataFrame, name: str, options: list[str]
) -> tuple[str, NDArray[np.float64], NDArray[np.int64]]:
    """Source, probabilities (n, options) and true option of the rows where both are known."""
    source, column = probs_column(labels.columns, name)
    if column not in labels.columns or TRUE_PREFIX + name not in truth.columns:
        return source, np.zeros((0, len(options))), np.zeros(0, dtype=np.int64)
    known = match_truth(truth, labels).select(KEY, TRUE_PREFIX + name)
    rows = known.join(labels.select(KEY, column), on=KEY, validate="1:1").drop_nulls().sort(KEY)
    true = rows[TRUE_PREFIX + name].cast(pl.Enum(options)).to_physical().to_numpy().astype(np.int64)
    return source, rows[column].to_numpy().astype(np.float64), true
