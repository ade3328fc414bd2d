"""Compute scores and their intervals from confusion matrices of labels against truth."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from facestats.core.stats import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


class Score(NamedTuple):
    """A value between 0 and 1 with its interval; all three are NaN if there is nothing to score."""

    value: float
    low: float
    high: float


def option_codes(labels: pl.Series, options: Iterable[str]) -> NDArray[np.int64]:
    """Index of each label among the options, (n,); `labels` has no nulls and no other values."""
    kind = pl.Enum(list(options))
    return labels.cast(pl.String).cast(kind).to_physical().cast(pl.Int64).to_numpy()


def count_pairs(truth: NDArray[np.integer], label: NDArray[np.integer], n_options: int) -> NDArray[np.int64]:
    """Confusion matrix, (n_options, n_options + 1): true option by label; the last column counts missing labels (< 0)."""
    columns = np.where(label < 0, n_options, label)
    flat = np.bincount(truth * (n_options + 1) + columns, minlength=n_options * (n_options + 1))
    return flat.reshape(n_options, n_options + 1)


def accuracy(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of correct labels; counts are (..., n_options, n_options + 1)."""
    return _ratio(_correct(counts).sum(axis=-1), counts.sum(axis=(-1, -2)))


def recall(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of correct labels within each true option, (..., n_options); NaN for options without faces."""
    return _ratio(_correct(counts), counts.sum(axis=-1))


def balanced_accuracy(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Mean recall over the options that occur in the truth (Brodersen et al. 2010)."""
    return _mean(recall(counts))


def macro_f1(counts: NDArray[np.integer], *, true_options_only: bool = False) -> NDArray[np.float64]:
    """Mean F1 score (harmonic mean of precision and recall) over the options that occur in truth or labels.

    With `true_options_only`, the mean is over the options that occur in the truth. A group of faces may have few
    options; otherwise a single label of an option that the group lacks would weigh as much as an option that is
    never found.
    """
    true, given = counts.sum(axis=-1), counts[..., :-1].sum(axis=-2)
    scores = _ratio(2 * _correct(counts), true + given)
    return _mean(np.where(true > 0, scores, np.nan) if true_options_only else scores)


def score_pairs(
    counts: NDArray[np.int64], *, true_options_only: bool = False, n_resamples: int = 400, seed: int = 0
) -> dict[str, Score]:
    """Score a confusion matrix: Wilson interval for accuracy, bootstrap over the faces for the others (95 %).

    If all labels are correct, every bootstrap sample is too, and the interval would have no width. Balanced accuracy
    and macro F1 are therefore at least as uncertain as the accuracy in either direction. `true_options_only` is
    passed to :func:`macro_f1`.
    """
    n = int(counts.sum())
    if not n:
        nothing = Score(np.nan, np.nan, np.nan)
        return dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), nothing)
    ends = wilson_interval(_correct(counts).sum(), n)
    share = Score(float(accuracy(counts)), float(ends[0]), float(ends[1]))
    out = {"accuracy": share}
    # drawing n faces with replacement is a multinomial draw of the cells of the matrix
    drawn = np.random.default_rng(seed).multinomial(n, counts.ravel() / n, size=n_resamples)
    resampled = drawn.reshape(n_resamples, *counts.shape)
    for name, measure in (
        ("balanced_accuracy", balanced_accuracy),
        ("macro_f1", partial(macro_f1, true_options_only=true_options_only)),
    ):
        value = float(measure(counts))
        low, high = (float(end) for end in np.nanquantile(measure(resampled), [0.025, 0.975]))
        widest_low = max(0.0, value - (share.value - share.low))
        widest_high = min(1.0, value + (share.high - share.value))
        out[name] = Score(value, min(low, widest_low), max(high, widest_high))
    return out


def association(counts: NDArray[np.integer]) -> float:
    """Cramer's V with bias correction (Bergsma 2013): 0 if two variables are independent, 1 if one determines the other."""
    table = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0].astype(np.float64)
    n, (r, c) = table.sum(), table.shape
    if min(r, c) < 2 or n < 2:
        return np.nan
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    phi = max(0.0, ((table - expected) ** 2 / expected).sum() / n - (r - 1) * (c - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    least = min(rows - 1, columns - 1)
    return float(np.sqrt(phi / least)) if least > 0 else np.nan


def _correct(counts: NDArray[np.integer]) -> NDArray[np.integer]:
    return np.diagonal(counts[..., : counts.shape[-2]], axis1=-2, axis2=-1)


def _ratio(part: NDArray[np.number], whole: NDArray[np.number]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis; NaN values are left out."""
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))
