"""Scores of labels against truth, with intervals; everything follows from the confusion matrix."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facestats.core.stats import wilson_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Score(NamedTuple):
    """A value between 0 and 1 with its interval; NaN where there is nothing to score."""

    value: float
    low: float
    high: float


def count_pairs(truth: NDArray[np.integer], label: NDArray[np.integer], n_options: int) -> NDArray[np.int64]:
    """Confusion matrix, (true option, label); a label below 0 is none given and counts in a last column."""
    columns = np.where(label < 0, n_options, label)
    flat = np.bincount(truth * (n_options + 1) + columns, minlength=n_options * (n_options + 1))
    return flat.reshape(n_options, n_options + 1)


def accuracy(counts: NDArray) -> NDArray[np.float64]:
    """Share of right labels; counts are (..., options, options + 1)."""
    return _ratio(_right(counts).sum(axis=-1), counts.sum(axis=(-1, -2)))


def recall(counts: NDArray) -> NDArray[np.float64]:
    """Share of right labels within each true option, (..., options); NaN where none is true."""
    return _ratio(_right(counts), counts.sum(axis=-1))


def balanced_accuracy(counts: NDArray) -> NDArray[np.float64]:
    """Mean recall over the options that occur in the truth."""
    return _mean(recall(counts))


def macro_f1(counts: NDArray, *, of_truth: bool = False) -> NDArray[np.float64]:
    """Mean over the options that occur in truth or labels of the harmonic mean of precision and recall.

    With `of_truth`, over those that occur in the truth: in a group of faces that has few options, one label of an
    option that the group has not would else count as much as a whole option that is never found.
    """
    true, given = counts.sum(axis=-1), counts[..., :-1].sum(axis=-2)
    scores = _ratio(2 * _right(counts), true + given)
    return _mean(np.where(true > 0, scores, np.nan) if of_truth else scores)


def score_pairs(
    counts: NDArray[np.int64], *, of_truth: bool = False, n_resamples: int = 400, seed: int = 0
) -> dict[str, Score]:
    """Score a confusion matrix: Wilson interval for accuracy, bootstrap over the rows for the others (95 %).

    A bootstrap of labels that are all right never errs; the others are therefore at least as uncertain, in either
    direction, as the accuracy is. `of_truth` as in :func:`macro_f1`.
    """
    n = int(counts.sum())
    if not n:
        nothing = Score(np.nan, np.nan, np.nan)
        return dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), nothing)
    low, high = wilson_interval(_right(counts).sum(), n)
    out = {"accuracy": Score(float(accuracy(counts)), float(low), float(high))}
    # drawing n rows with replacement is a multinomial draw of the cells of the matrix
    drawn = np.random.default_rng(seed).multinomial(n, counts.ravel() / n, size=n_resamples)
    resampled = drawn.reshape(n_resamples, *counts.shape)
    right, low, high = out["accuracy"]
    for name, measure in (
        ("balanced_accuracy", balanced_accuracy),
        ("macro_f1", partial(macro_f1, of_truth=of_truth)),
    ):
        value, ends = float(measure(counts)), np.nanquantile(measure(resampled), [0.025, 0.975])
        least, most = max(0.0, value - (right - low)), min(1.0, value + (high - right))
        out[name] = Score(value, min(float(ends[0]), least), max(float(ends[1]), most))
    return out


def association(counts: NDArray) -> float:
    """Cramer's V with the bias correction of Bergsma (2013): 0 is independent, 1 is one from the other."""
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0].astype(np.float64)
    n, (r, c) = counts.sum(), counts.shape
    if min(r, c) < 2 or n < 2:
        return np.nan
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
    phi = max(0.0, ((counts - expected) ** 2 / expected).sum() / n - (r - 1) * (c - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    least = min(rows - 1, columns - 1)
    return float(np.sqrt(phi / least)) if least > 0 else np.nan


def _right(counts: NDArray) -> NDArray:
    return np.diagonal(counts[..., : counts.shape[-2]], axis1=-2, axis2=-1)


def _ratio(part: NDArray, whole: NDArray) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))
