"""Measure whether probabilities are calibrated, correct them by temperature scaling, and make conformal label sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

TINY = 1e-12
N_BINS = 10
_RANGE = (0.05, 20.0)  # of temperatures


def apply_temperature(probs: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Divide the logarithms of probabilities, (n, n_options), by `temperature`; above 1 the result is less confident."""
    from scipy.special import softmax

    return softmax(np.log(np.maximum(probs.astype(np.float64), TINY)) / temperature, axis=1)


def log_loss(probs: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Mean negative logarithm of the probability of the true option."""
    return float(-np.log(np.maximum(probs[np.arange(len(truth)), truth], TINY)).mean())


def fit_temperature(probs: NDArray[np.floating], truth: NDArray[np.integer]) -> float:
    """Find the temperature with the smallest log loss (Guo et al. 2017, section 4.2), between 0.05 and 20.

    If no row is wrong, the targets are smoothed as if one row in n + 2 were (Platt 1999, section 2.2): rows that are all
    correct would drive the temperature to zero. Otherwise nothing is smoothed, because it would make a calibrated model
    look overconfident.
    """
    return _smallest_loss(_losses(probs, truth))


def temperature_interval(
    probs: NDArray[np.floating], truth: NDArray[np.integer], *, level: float = 0.95
) -> tuple[float, float]:
    """Profile likelihood interval of the temperature: all whose log likelihood is not too far below the best."""
    from scipy.optimize import brentq
    from scipy.stats import chi2

    loss = _losses(probs, truth)
    best = np.log(_smallest_loss(loss))
    most = loss(best) + chi2.ppf(level, 1) / 2
    low, high = (
        end if loss(end) <= most else brentq(lambda t: loss(t) - most, best, end)
        for end in map(np.log, _RANGE)
    )
    return float(np.exp(low)), float(np.exp(high))


def _losses(probs: NDArray[np.floating], truth: NDArray[np.integer]) -> Callable[[float], float]:
    """Return the summed log loss as a function of the logarithm of the temperature."""
    n, options = probs.shape
    target = np.zeros((n, options))
    target[np.arange(n), truth] = 1
    if (probs.argmax(axis=1) == truth).all():
        target = np.where(target == 1, (n + 1) / (n + 2), 1 / (n + 2) / (options - 1))
    return lambda t: float(-(target * np.log(apply_temperature(probs, float(np.exp(t))) + TINY)).sum())


def _smallest_loss(loss: Callable[[float], float]) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(loss, bounds=tuple(np.log(_RANGE)), method="bounded")
    return float(np.exp(found.x))


def calibration_bins(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], *, n_bins: int = N_BINS
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Mean confidence, share of correct labels, and count, in bins of about equal count."""
    order = np.argsort(confidence, kind="stable")
    parts = [p for p in np.array_split(order, min(n_bins, max(len(order), 1))) if len(p)]
    means = np.array([confidence[p].mean() for p in parts])
    return means, np.array([correct[p].mean() for p in parts]), np.array([len(p) for p in parts])


def calibration_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], *, n_bins: int = N_BINS
) -> float:
    """Expected calibration error: mean distance between confidence and share correct, over bins (Naeini et al. 2015)."""
    stated, share, n = calibration_bins(confidence, correct, n_bins=n_bins)
    return float((np.abs(stated - share) * n).sum() / max(n.sum(), 1))


def chance_errors(
    confidence: NDArray[np.float64], folds: Sequence[NDArray[np.intp]], *, n_draws: int = 200, seed: int = 0
) -> NDArray[np.float64]:
    """Calibration errors, (n_draws,), that calibrated probabilities show by chance, averaged over `folds`.

    Each draw makes every label correct with the probability of its confidence. With few labels per bin, even
    calibrated probabilities have an error above zero; a measured error has to be compared with these.
    """
    correct = np.random.default_rng(seed).random((n_draws, len(confidence))) < confidence
    total = np.zeros(n_draws)
    for fold in folds:
        order = fold[np.argsort(confidence[fold], kind="stable")]
        for part in np.array_split(order, min(N_BINS, max(len(order), 1))):
            if len(part):
                distance = np.abs(confidence[part].mean() - correct[:, part].mean(axis=1))
                total += distance * len(part) / len(fold)
    return total / max(len(folds), 1)


def conformal_threshold(probs: NDArray[np.floating], truth: NDArray[np.integer], coverage: float) -> float:
    """Smallest probability with which an option enters a label set, so that sets hold the truth with `coverage`.

    Split conformal prediction with the score 1 - p(truth) (Sadinle, Lei & Wasserman 2019): the score of rank
    ceil((n + 1) coverage). If there are too few rows for that rank, every option enters.
    """
    n = len(truth)
    rank = int(np.ceil((n + 1) * coverage))
    if rank > n:
        return 0.0
    scores = 1 - probs[np.arange(n), truth].astype(np.float64)
    return float(1 - np.sort(scores)[rank - 1])


def in_set(probs: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Which options enter the set of each row, (n, n_options)."""
    return probs.astype(np.float64) >= threshold - 1e-9


def split_folds(n: int, *, n_repeats: int, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield indices (to fit on, held out) of random halves; each half is used both ways."""
    rng = np.random.default_rng(seed)
    for _ in range(n_repeats):
        order = rng.permutation(n)
        halves = order[: n // 2], order[n // 2 :]
        yield halves
        yield halves[1], halves[0]


def coverage_accuracy(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Share of labels kept, share correct among them, and the threshold, as the threshold falls through all scores."""
    order = np.argsort(-confidence, kind="stable")
    kept = np.arange(1, len(order) + 1)
    last = np.append(np.diff(confidence[order]) != 0, True)[: len(order)]  # equal scores are kept together
    share = np.cumsum(correct[order]) / kept
    return kept[last] / max(len(order), 1), share[last], confidence[order][last]
