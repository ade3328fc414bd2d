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


def accuracy(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Share of correct labels; counts are (..., n_options, n_options + 1)."""
    return _ratio(_correct(counts).sum(axis=-1), counts.sum(axis=(-1, -2)))


def recall(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Share of correct labels within each true option, (..., n_options); NaN for options without faces."""
    return _ratio(_correct(counts), counts.sum(axis=-1))


def balanced_accuracy(counts: NDArray[np.number]) -> NDArray[np.float64]:
    """Mean recall over the options that occur in the truth (Brodersen et al. 2010)."""
    return _mean(recall(counts))


def macro_f1(counts: NDArray[np.number], *, true_options_only: bool = False) -> NDArray[np.float64]:
    """Mean F1 score (harmonic mean of precision and recall) over the options that occur in truth or labels.

    With `true_options_only`, the mean is over the options that occur in the truth. A group of faces may have few
    options; otherwise a single label of an option that the group lacks would weigh as much as an option that is
    never found.
    """
    true, given = counts.sum(axis=-1), counts[..., :-1].sum(axis=-2)
    scores = _ratio(2 * _correct(counts), true + given)
    return _mean(np.where(true > 0, scores, np.nan) if true_options_only else scores)


def score_pairs(
    counts: NDArray[np.int64],
    *,
    true_options_only: bool = False,
    n_effective: float | None = None,
    n_resamples: int = 400,
    seed: int = 0,
) -> dict[str, Score]:
    """Score a confusion matrix, with 95 % intervals.

    The interval of the accuracy is Wilson's. That of balanced accuracy comes from draws of the posterior of the matrix, in
    which each row has a Dirichlet prior of one half for the correct label and one half for all others together: a
    bootstrap is too narrow for rare options, of which few faces, or only correct ones, were seen. That of macro F1
    holds the quantiles of these draws and those of bootstrap samples, since the draws alone are too narrow for the F1
    of many options (``python -m benchmarks truth``).

    Parameters
    ----------
    counts
        Confusion matrix, (n_options, n_options + 1).
    true_options_only
        Passed to :func:`macro_f1`.
    n_effective
        Number of independent faces that tell as much as these (:func:`effective_size`); by default all of them.
    n_resamples
        Number of bootstrap samples, and of draws.
    seed
        Seed of both.
    """
    n = int(counts.sum())
    if not n:
        nothing = Score(np.nan, np.nan, np.nan)
        return dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), nothing)
    size = min(n, n_effective or n)
    share = float(accuracy(counts))
    low, high = (float(end) for end in wilson_interval(share * size, size))
    out = {"accuracy": Score(share, low, high)}
    rng = np.random.default_rng(seed)
    # drawing faces with replacement is a multinomial draw of the cells of the matrix
    bootstrap = rng.multinomial(max(1, round(size)), counts.ravel() / n, size=n_resamples)
    drawn = bootstrap.reshape(n_resamples, *counts.shape)
    posterior = _draw_posterior(counts * (size / n), n_resamples, rng)
    f1 = partial(macro_f1, true_options_only=true_options_only)
    for name, measure, samples in (
        ("balanced_accuracy", balanced_accuracy, (posterior,)),
        ("macro_f1", f1, (drawn, posterior)),
    ):
        ends = [np.nanquantile(measure(matrices), [0.025, 0.975]) for matrices in samples]
        value = float(measure(counts))
        low, high = min(e[0] for e in ends), max(e[1] for e in ends)
        out[name] = Score(value, float(min(low, value)), float(max(high, value)))
    return out


def effective_size(correct: NDArray[np.bool_], persons: NDArray[np.int64]) -> float:
    """How many faces of different persons tell as much about a share as these faces, some of which show one person.

    The design effect is the variance of the share over persons, relative to that of independent faces (Kish 1965, section
    5.4). Few persons say little about this variance, so the number is reduced by the ratio of the quantiles of the
    normal and of Student's distribution (Korn & Graubard 1998).

    Parameters
    ----------
    correct
        Whether each label is correct, (n,).
    persons
        Number of the person of each face, (n,).
    """
    from scipy.stats import norm
    from scipy.stats import t as student

    n = len(correct)
    if not n:
        return 0.0
    number = np.unique(persons, return_inverse=True)[1]
    sizes = np.bincount(number)
    n_persons = len(sizes)
    if n_persons == n:
        return float(n)
    if n_persons == 1:
        return 1.0
    share = correct.mean()
    if share in (0.0, 1.0):  # nothing varies: it is not known how alike the faces of a person are
        return float(n_persons)
    deviations = np.bincount(number, correct - share)
    variance = n_persons / (n_persons - 1) * (deviations**2).sum() / n**2
    effect = max(1.0, variance / (share * (1 - share) / n))
    return float(n / effect * (norm.ppf(0.975) / student.ppf(0.975, n_persons - 1)) ** 2)


def _draw_posterior(
    counts: NDArray[np.floating], n_draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw confusion matrices, (n_draws, n_options, n_options + 1), for the options that occur in the truth."""
    n_options, n_columns = counts.shape
    prior = np.full(counts.shape, 0.5 / (n_columns - 1))
    np.fill_diagonal(prior, 0.5)
    total = counts.sum(axis=1)
    # a Dirichlet draw is one of gamma variables, divided by their sum
    rows = rng.gamma(counts + prior, size=(n_draws, *counts.shape))
    rows /= np.maximum(rows.sum(axis=-1, keepdims=True), np.finfo(float).tiny)
    weights = rng.gamma(np.maximum(total, np.finfo(float).tiny), size=(n_draws, n_options))
    return np.where((total > 0)[:, None], rows * weights[..., None], 0.0)


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


def _correct(counts: NDArray[np.number]) -> NDArray[np.number]:
    return np.diagonal(counts[..., : counts.shape[-2]], axis1=-2, axis2=-1)


def _ratio(part: NDArray[np.number], whole: NDArray[np.number]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(whole > 0, part / whole, np.nan)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis; NaN values are left out."""
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0).sum(axis=-1), known.sum(axis=-1))
