"""Logistic regression on vectors, tested on held-out rows; near-duplicates and persons are never split between folds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from facestats.core.groups import group_pictures
from facestats.core.stats import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

INVERSE_PENALTY = (
    10.0  # C of scikit-learn; on unit vectors, 3 to 100 differ by less than one point of accuracy
)
N_FOLDS = 5
MIN_TESTED = 20  # fewer rows cannot show a gain
SMALLEST_SAMPLE = 25  # labels at the first point of a learning curve; each further point has twice as many
N_REPEATS = 3  # random samples per fold and point of a learning curve
N_RESAMPLES = 2000
MAX_ITERATIONS = 5000

# weights (n_options, dim), bias (n_options,) and held-out probabilities (n, n_options)
FittedParts: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]"


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Rows with a label, for one attribute.

    Parameters
    ----------
    vectors
        Unit vectors, (n, dim) float32.
    values
        Index of the option of each row, (n,) integers.
    tested
        Rows that count in a test, (n,) booleans; False for rows that were chosen for being hard.
    n_options
        Number of options.
    min_cosine
        Cosine similarity from which two rows count as near-duplicates.
    people
        Number of the person in each picture, (n,) integers, negative where nobody is named.
    """

    vectors: NDArray[np.float32]
    values: NDArray[np.int64]
    tested: NDArray[np.bool_]
    n_options: int
    min_cosine: float
    people: NDArray[np.int64] | None = None

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Number of the group of each row, (n,): near-duplicates, and pictures of one person."""
        return group_pictures(self.vectors, self.people, min_cosine=self.min_cosine)

    def what_is_missing(self) -> str:
        """Say why no probe can be fitted; an empty text if one can."""
        if np.unique(self.values).size < 2:
            return "the labels name one option only"
        if self.tested.sum() < MIN_TESTED:
            return f"{self.tested.sum()} rows to test on, {MIN_TESTED} are needed"
        n_groups = np.unique(self.groups).size
        what = "pictures" if self.people is None else "persons"
        return f"{n_groups} different {what}, {2 * N_FOLDS} are needed" if n_groups < 2 * N_FOLDS else ""


def fit_regression(
    vectors: NDArray[np.float32], values: NDArray[np.int64], n_options: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit a multinomial logistic regression with an L2 penalty; weights (n_options, dim) and bias (n_options,).

    An option without a row gets a bias of minus infinity.
    """
    from sklearn.linear_model import LogisticRegression

    weights = np.zeros((n_options, vectors.shape[1]), dtype=np.float32)
    bias = np.full(n_options, -np.inf, dtype=np.float32)
    classes = np.unique(values)
    if classes.size == 1:
        bias[classes] = 0
        return weights, bias
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=MAX_ITERATIONS).fit(vectors, values)
    if classes.size == 2:  # scikit-learn returns one row of weights for two classes
        weights[classes[1]], bias[classes] = model.coef_[0], (0, model.intercept_[0])
    else:
        weights[classes], bias[classes] = model.coef_, model.intercept_
    return weights, bias


def cross_validate(rows: LabelledRows, *, seed: int) -> NDArray[np.float64]:
    """Probabilities of each row, (n, n_options), from a regression that was fitted without its group."""
    from scipy.special import softmax

    out = np.zeros((len(rows.values), rows.n_options))
    for train, test in _folds(rows, seed):
        weights, bias = fit_regression(rows.vectors[train], rows.values[train], rows.n_options)
        out[test] = softmax((rows.vectors[test] @ weights.T + bias).astype(np.float64), axis=1)
    return out


def learning_curve(rows: LabelledRows, *, seed: int) -> dict[int, NDArray[np.float64]]:
    """Share of repeats in which each held-out row is correct, (n,), by the number of labels that were learned from."""
    rng = np.random.default_rng(seed)
    folds = list(_folds(rows, seed))
    limit = 0.9 * min(len(train) for train, _ in folds)
    sizes = [size for i in range(20) if (size := SMALLEST_SAMPLE * 2**i) < limit]
    correct = {size: np.zeros(len(rows.values)) for size in sizes}
    for (train, test), size in product(folds, sizes):
        for _ in range(N_REPEATS):
            sample = rng.permutation(train)[:size]
            weights, bias = fit_regression(rows.vectors[sample], rows.values[sample], rows.n_options)
            predicted = (rows.vectors[test] @ weights.T + bias).argmax(axis=1)
            correct[size][test] += (predicted == rows.values[test]) / N_REPEATS
    return correct


def assess(
    rows: LabelledRows, zero_shot_correct: NDArray[np.float64] | None, *, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]], FittedParts | None]:
    """Test a regression on labelled rows, and compare it with zero-shot.

    Parameters
    ----------
    rows
        Rows with a label.
    zero_shot_correct
        1 where zero-shot gives the label of a row, else 0, (n,); None where there is no zero-shot.
    seed
        Seed of the folds and the resamples.

    Returns
    -------
    A row of ``probes.REPORT`` and rows of ``probes.CURVE``, both without the attribute; weights, bias and
    held-out probabilities of the regression, or None where there are too few rows for one.
    """
    from threadpoolctl import threadpool_limits

    report: dict[str, Any] = {"n": len(rows.values), "n_tested": int(rows.tested.sum()), "promoted": False}
    if missing := rows.what_is_missing():
        return {**report, "why": missing}, [], None
    tested, groups = rows.tested, rows.groups[rows.tested]

    def accuracy(correct: NDArray[np.float64]) -> tuple[float, float, float]:
        mean, low, high = bootstrap_mean(correct[tested], groups, seed=seed)
        if (
            low == high
        ):  # all correct or all wrong: resamples do not vary, and Wilson's interval says how far to trust it
            n = np.unique(groups).size
            low, high = map(float, wilson_interval(n * mean, n))
        return mean, low, high

    with threadpool_limits(1):  # the problems are small: several threads would only wait for each other
        held_out = cross_validate(rows, seed=seed)
        curve_correct = learning_curve(rows, seed=seed)
        weights, bias = fit_regression(rows.vectors, rows.values, rows.n_options)
    correct = (held_out.argmax(axis=1) == rows.values).astype(np.float64)
    report |= dict(zip(("accuracy", "accuracy_low", "accuracy_high"), accuracy(correct), strict=True))
    zero_shot: dict[str, float] = {}
    if zero_shot_correct is None:
        report["why"] = "no zero-shot labels to compare with"
    else:
        names = ("zero_shot", "zero_shot_low", "zero_shot_high")
        zero_shot = dict(zip(names, accuracy(zero_shot_correct), strict=True))
        difference = bootstrap_mean((correct - zero_shot_correct)[tested], groups, seed=seed)
        gain = dict(zip(("gain", "gain_low", "gain_high"), difference, strict=True))
        promoted = gain["gain_low"] > 0
        why = (
            "labels better than the prompts"
            if promoted
            else "the interval of the gain does not lie above zero"
        )
        report |= {"zero_shot": zero_shot["zero_shot"], **gain, "promoted": promoted, "why": why}
    n_train = len(rows.values) - len(rows.values) // N_FOLDS
    curve = [
        {
            "n_labels": size,
            **dict(zip(("accuracy", "low", "high"), accuracy(values), strict=True)),
            **zero_shot,
        }
        for size, values in [*curve_correct.items(), (n_train, correct)]
    ]
    return report, curve, (weights, bias, held_out.astype(np.float32))


def bootstrap_mean(
    values: NDArray[np.float64], groups: NDArray[np.int64], *, seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean of `values` and its percentile interval; groups are resampled as a whole (cluster bootstrap).

    Davison & Hinkley (1997), section 3.8.
    """
    number = np.unique(groups, return_inverse=True)[1]
    sums, counts = np.bincount(number, values), np.bincount(number)
    n = len(counts)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=N_RESAMPLES)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def _folds(rows: LabelledRows, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield indices of the rows to learn from and of those to test on; each row is tested once."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # an option with few rows cannot be in every fold; where it was not learned, its rows count as wrong
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield from splitter.split(rows.vectors, rows.values, rows.groups)
