"""Logistic regression on vectors, tested on rows it has not seen: near-duplicates and persons stay on one side."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.attributes.probes import CURVE, REPORT, Probe
from facestats.core.groups import group_pictures, number_people
from facestats.core.stats import wilson_interval
from facestats.core.tables import KEY, VIEWS, TableError, check_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings

STRENGTH = 10.0  # inverse of the penalty; on unit vectors 3 to 100 differ by less than a point
FOLDS = 5
MIN_TESTED = 20  # fewer rows cannot show a gain
REPEATS = 3
SMALLEST = 25
RESAMPLES = 2000
MAX_ITERATIONS = 5000


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows with a label, for one attribute.

    Parameters
    ----------
    vectors
        Unit vectors, (n, dim) float32.
    values
        Which option each row has, (n,) integers.
    tested
        Rows that count in a test, (n,) booleans: those picked because they are hard do not.
    n_options
        Number of options.
    min_cosine
        Similarity from which on two rows are the same picture for a test.
    people
        Number of the person in each picture, (n,) integers, negative where nobody is named.
    """

    vectors: NDArray[np.float32]
    values: NDArray[np.int64]
    tested: NDArray[np.bool_]
    n_options: int
    min_cosine: float
    people: NDArray[np.int64] | None = None

    def groups(self) -> NDArray[np.int64]:
        """Number of the group that each row belongs to: near-duplicates, and pictures of one person."""
        return group_pictures(self.vectors, self.people, min_cosine=self.min_cosine)

    def why_not(self) -> str:
        """Say what is missing for a probe; empty where nothing is."""
        if np.unique(self.values).size < 2:
            return "the labels name one option only"
        if self.tested.sum() < MIN_TESTED:
            return f"{self.tested.sum()} rows to test on, {MIN_TESTED} are needed"
        n_groups = np.unique(self.groups()).size
        what = "pictures" if self.people is None else "persons"
        return f"{n_groups} different {what}, {2 * FOLDS} are needed" if n_groups < 2 * FOLDS else ""


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
    model = LogisticRegression(C=STRENGTH, max_iter=MAX_ITERATIONS).fit(vectors, values)
    if classes.size == 2:  # scikit-learn keeps one row for two classes
        weights[classes[1]], bias[classes] = model.coef_[0], (0, model.intercept_[0])
    else:
        weights[classes], bias[classes] = model.coef_, model.intercept_
    return weights, bias


def cross_validate(rows: Labelled, *, seed: int) -> NDArray[np.float64]:
    """Probabilities of every row from a regression that saw nothing of its group, (n, n_options)."""
    from scipy.special import softmax

    out = np.zeros((len(rows.values), rows.n_options))
    for train, test in _folds(rows, seed):
        weights, bias = fit_regression(rows.vectors[train], rows.values[train], rows.n_options)
        out[test] = softmax((rows.vectors[test] @ weights.T + bias).astype(np.float64), axis=1)
    return out


def learning_curve(rows: Labelled, *, seed: int) -> dict[int, NDArray[np.float64]]:
    """How often each row is right, (n,) 0 to 1, by the number of labels learnt from; fewer than all."""
    rng = np.random.default_rng(seed)
    folds = list(_folds(rows, seed))
    most = 0.9 * min(len(train) for train, _ in folds)
    right = {SMALLEST * 2**i: np.zeros(len(rows.values)) for i in range(20) if SMALLEST * 2**i < most}
    for (train, test), size in product(folds, right):
        for _ in range(REPEATS):
            drawn = rng.permutation(train)[:size]
            weights, bias = fit_regression(rows.vectors[drawn], rows.values[drawn], rows.n_options)
            found = (rows.vectors[test] @ weights.T + bias).argmax(axis=1)
            right[size][test] += (found == rows.values[test]) / REPEATS
    return right


def assess(
    rows: Labelled, right: NDArray[np.float64] | None, *, seed: int
) -> tuple[
    dict[str, Any],
    list[dict[str, Any]],
    tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None,
]:
    """Test a regression on `rows` against zero-shot, `right` or wrong (1 or 0) on each; None if there is none.

    Returns
    -------
    A row of ``probes.REPORT`` and rows of ``probes.CURVE``, both without the attribute; weights, bias and
    held-out probabilities of the regression, or None where there are too few rows for one.
    """
    from threadpoolctl import threadpool_limits

    nothing: dict[str, Any] = {"n": len(rows.values), "n_tested": int(rows.tested.sum()), "promoted": False}
    if why := rows.why_not():
        return {**nothing, "why": why}, [], None
    groups, tested = rows.groups(), rows.tested

    def mean(values: NDArray[np.float64]) -> tuple[float, float, float]:
        return bootstrap_mean(values[tested], groups[tested], seed=seed)

    def share(right: NDArray[np.float64]) -> tuple[float, float, float]:
        middle, low, high = mean(right)
        if low == high:  # all right or all wrong: resamples have no spread, yet chance is there
            n = np.unique(groups[tested]).size
            low, high = map(float, wilson_interval(n * middle, n))
        return middle, low, high

    with threadpool_limits(1):  # small problems: threads would wait for each other
        held_out = cross_validate(rows, seed=seed)
        rights = learning_curve(rows, seed=seed)
        weights, bias = fit_regression(rows.vectors, rows.values, rows.n_options)
    found = (held_out.argmax(axis=1) == rows.values).astype(np.float64)
    report = nothing | dict(zip(("accuracy", "accuracy_low", "accuracy_high"), share(found), strict=True))
    prompts: dict[str, float] = {}
    if right is None:
        report["why"] = "no zero-shot labels to compare with"
    else:
        prompts = dict(zip(("zero_shot", "zero_shot_low", "zero_shot_high"), share(right), strict=True))
        gain = dict(zip(("gain", "gain_low", "gain_high"), mean(found - right), strict=True))
        promoted = gain["gain_low"] > 0
        why = (
            "labels better than the prompts"
            if promoted
            else "the interval of the gain does not lie above zero"
        )
        report |= {"zero_shot": prompts["zero_shot"], **gain, "promoted": promoted, "why": why}
    n_most = len(rows.values) - len(rows.values) // FOLDS
    curve = [
        {"n_labels": size, **dict(zip(("accuracy", "low", "high"), share(values), strict=True)), **prompts}
        for size, values in [*rights.items(), (n_most, found)]
    ]
    return report, curve, (weights, bias, held_out.astype(np.float32))


def bootstrap_mean(
    values: NDArray[np.float64], groups: NDArray[np.int64], *, seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean of `values` and its percentile interval, groups resampled as a whole (cluster bootstrap)."""
    number = np.unique(groups, return_inverse=True)[1]
    sums, counts = np.bincount(number, values), np.bincount(number)
    n = len(counts)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    low, high = np.quantile((drawn @ sums) / (drawn @ counts), [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def _folds(rows: Labelled, seed: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield rows to learn from and rows to test on; every row is tested once."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # options with few rows cannot be in every fold; where they are missing they count as wrong
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        yield from splitter.split(rows.vectors, rows.values, rows.groups())


def fit_all(
    embeddings: pl.DataFrame,
    known: pl.DataFrame,
    prompted: pl.DataFrame | None,
    attributes: Mapping[str, AttributeSettings],
    *,
    seed: int,
    min_cosine: float,
) -> tuple[dict[str, Probe], pl.DataFrame, pl.DataFrame]:
    """Fit and test a probe per attribute with labels: the probes, ``probes.REPORT`` and ``probes.CURVE``.

    Parameters
    ----------
    embeddings
        Vectors; rows without a label do not count.
    known
        Labels that have a value.
    prompted
        What the prompts say of the labelled rows, to compare with.

    Raises
    ------
    TableError
        If no label speaks of a picture in `embeddings`.
    """
    rows = embeddings.join(known.select(KEY).unique(), on=KEY, how="semi", maintain_order="left")
    if known.height and rows.is_empty():
        msg = f"no label speaks of a picture in embeddings; they name {known[KEY][0]!r} and others"
        raise TableError(msg)
    fitted, reports, curves = {}, [], []
    for attribute, settings in attributes.items():
        if (answers := known.filter(attribute=attribute)).is_empty():
            continue
        both = _labelled(rows, answers, settings)
        labelled = _numbers(both, list(settings.options), min_cosine)
        right = None if prompted is None else _right(both, prompted.select(KEY, said=attribute))
        report, curve, parts = assess(labelled, right, seed=seed)
        reports.append({"attribute": attribute, **report})
        curves += [{"attribute": attribute, **point} for point in curve]
        if parts is not None:
            fitted[attribute] = Probe(tuple(settings.options), settings.view, *parts, tuple(both[KEY]))
    return fitted, pl.DataFrame(reports, schema=REPORT), pl.DataFrame(curves, schema=CURVE)


def _labelled(rows: pl.DataFrame, answers: pl.DataFrame, settings: AttributeSettings) -> pl.DataFrame:
    """Rows with a label and a vector: key, `vector`, `value`, `reason`, `person` where any is known."""
    column = VIEWS[settings.view]
    check_columns(rows, column, made_by="fs.embed_faces (notebooks/02_embeddings.ipynb)")
    vectors = rows.select(KEY, vector=column).drop_nulls()
    answers = answers.select(KEY, "value", "reason", pl.selectors.by_name("person", require_all=False))
    return vectors.join(answers, on=KEY, validate="1:1", maintain_order="left")


def _numbers(both: pl.DataFrame, options: list[str], min_cosine: float) -> Labelled:
    """Labelled rows as arrays; rows that were picked for being hard do not count in a test."""
    values = np.array([options.index(v) for v in both["value"]], dtype=np.int64)
    tested = (both["reason"].is_null() | (both["reason"] == "random")).to_numpy()
    vectors = both["vector"].to_numpy().astype(np.float32, copy=False)
    people = number_people(both["person"]) if "person" in both.columns else None
    return Labelled(vectors, values, tested, len(options), min_cosine, people)


def _right(both: pl.DataFrame, prompted: pl.DataFrame) -> NDArray[np.float64]:
    """1 where the prompts gave the label, else 0."""
    said = both.join(prompted, on=KEY, how="left", validate="1:1", maintain_order="left")
    return (said["said"].cast(pl.String) == said["value"]).to_numpy().astype(np.float64)
