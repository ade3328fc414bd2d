"""The cases: persons with several pictures, small groups, rare options, unequal spread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from benchmarks.truth import Case

from facestats.audit.confusion import count_pairs, effective_size, score_pairs
from facestats.audit.person_tests import PersonTest, mean_interval
from facestats.audit.temperature import temperature_interval
from facestats.composites.running_sums import GroupSums
from facestats.ratings.agreement import additive_effects, severity_errors

if TYPE_CHECKING:
    from collections.abc import Iterator

N_ATTRIBUTES = 9


def _alike(rng: np.random.Generator, persons: np.ndarray, icc: float) -> np.ndarray:
    """Normal values, (n,), of which those of one person correlate with `icc`."""
    own = rng.normal(size=persons.max() + 1)[persons]
    return np.sqrt(icc) * own + np.sqrt(1 - icc) * rng.normal(size=len(persons))


def _shares(rng: np.random.Generator, persons: np.ndarray, icc: float) -> np.ndarray:
    """Share of correct labels of each face, over the attributes."""
    return np.mean([_alike(rng, persons, icc) < 1 for _ in range(N_ATTRIBUTES)], axis=0)


def group_tests() -> Iterator[Case]:
    """Accuracy of a group against the others, where nothing differs."""
    for n, n_others in ((2, 38), (5, 40), (8, 40), (40, 40)):

        def alone(rng: np.random.Generator, n: int = n, n_others: int = n_others) -> bool:
            persons = np.arange(n + n_others)
            return PersonTest(_shares(rng, persons, 0), persons, seed=0).p(persons < n) <= 0.05

        yield Case("accuracy of groups", f"{n} faces against {n_others}", "level", alone)
    for n_persons, n_pictures in ((8, 5), (20, 3)):

        def repeated(rng: np.random.Generator, n_persons: int = n_persons, n: int = n_pictures) -> bool:
            persons = np.repeat(np.arange(2 * n_persons), n)
            return PersonTest(_shares(rng, persons, 0.8), persons, seed=0).p(persons < n_persons) <= 0.05

        yield Case(
            "accuracy of groups", f"{n_persons} persons x {n_pictures} against as many", "level", repeated
        )


def accuracy_intervals() -> Iterator[Case]:
    """Intervals of the accuracy of one attribute, and of the mean over attributes."""
    threshold, truth = 1.0, 0.8413447  # share of a normal variable below 1
    for n_persons, n_pictures in ((240, 1), (48, 5), (24, 10), (12, 3), (30, 1)):

        def one(rng: np.random.Generator, n_persons: int = n_persons, n: int = n_pictures) -> bool:
            persons = np.repeat(np.arange(n_persons), n)
            correct = _alike(rng, persons, 0.8) < threshold
            counts = count_pairs(np.zeros(len(correct), dtype=int), (~correct).astype(int), 2)
            found = score_pairs(counts, n_effective=effective_size(correct, persons), n_resamples=2)[
                "accuracy"
            ]
            return found.low <= truth <= found.high

        def mean(rng: np.random.Generator, n_persons: int = n_persons, n: int = n_pictures) -> bool:
            persons = np.repeat(np.arange(n_persons), n)
            _, low, high = mean_interval(_shares(rng, persons, 0.8), persons)
            return low <= truth <= high

        name = f"{n_persons} persons x {n_pictures}"
        yield Case("accuracy", name, "coverage", one)
        yield Case("mean accuracy", name, "coverage", mean)


def rare_options() -> Iterator[Case]:
    """Intervals of balanced accuracy and macro F1 where options are rare."""
    drawn = {
        "90/7/3, recalls .95/.9/.2": ((0.9, 0.07, 0.03), (0.95, 0.9, 0.2)),
        "90/7/3, recalls .95/.9/.9": ((0.9, 0.07, 0.03), (0.95, 0.9, 0.9)),
        "50/30/20, recalls .9/.8/.7": ((0.5, 0.3, 0.2), (0.9, 0.8, 0.7)),
    }
    for name, (shares, recalls) in drawn.items():
        n_options = len(shares)
        cells = np.array([np.full(n_options, (1 - r) / (n_options - 1)) for r in recalls])
        np.fill_diagonal(cells, recalls)
        joint = np.array(shares)[:, None] * cells
        f1 = np.mean(2 * joint.diagonal() / (joint.sum(axis=0) + joint.sum(axis=1)))
        for n in (100, 300):
            for measure, truth in (("balanced_accuracy", np.mean(recalls)), ("macro_f1", f1)):

                def draw(
                    rng: np.random.Generator,
                    joint: np.ndarray = joint,
                    n: int = n,
                    measure: str = measure,
                    truth: float = truth,
                ) -> bool:
                    counts = rng.multinomial(n, joint.ravel()).reshape(joint.shape)
                    if (
                        counts.sum(axis=1) == 0
                    ).any():  # the truth of an option that was not drawn is another one
                        return True
                    found = score_pairs(np.pad(counts, ((0, 0), (0, 1))))[measure]
                    return bool(found.low <= truth <= found.high)

                yield Case(measure.replace("_", " "), f"{name}, n = {n}", "coverage", draw)


def difference_maps() -> Iterator[Case]:
    """Any pixel called different, where the means are equal."""
    for n, m, sd, others in ((10, 40, 3, 1), (10, 40, 1, 3), (8, 8, 3, 1), (20, 20, 1, 1), (8, 60, 1, 1)):

        def draw(
            rng: np.random.Generator, n: int = n, m: int = m, sd: float = sd, others: float = others
        ) -> bool:
            common = rng.normal(size=(n + m, 1))
            values = 0.55 * common + 0.84 * rng.normal(size=(n + m, 30))
            values = 100 + values * np.repeat([sd, others], (n, m))[:, None]
            sums = GroupSums(n_resamples=199, seed=int(rng.integers(2**31)))
            sums.add(values.astype(np.float32), np.arange(n + m) < n)
            return bool((sums.result()[2] <= 0.05).any())

        yield Case("difference maps", f"{n} of sd {sd}, {m} of sd {others}", "level", draw)


def temperatures() -> Iterator[Case]:
    """Interval of the temperature of a calibrated model, which is 1."""
    for n in (60, 240):

        def draw(rng: np.random.Generator, n: int = n) -> bool:
            probs = rng.dirichlet(np.ones(3), size=n)
            truth = (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
            low, high = temperature_interval(probs, truth)
            return low <= 1 <= high

        yield Case("temperature", f"a calibrated model, n = {n}", "coverage", draw)


def severities() -> Iterator[Case]:
    """Interval of a rater's severity where each face has few ratings."""
    for n_faces, n_raters, per_face in ((60, 12, 2), (40, 20, 5), (30, 6, 6)):

        def draw(
            rng: np.random.Generator,
            n_faces: int = n_faces,
            n_raters: int = n_raters,
            per_face: int = per_face,
        ) -> bool:
            from scipy.stats import t as student

            severity = rng.normal(0, 0.7, n_raters)
            ratings = rng.normal(4, 1, (n_faces, 1)) + severity + rng.normal(0, 1, (n_faces, n_raters))
            for row in ratings:
                row[rng.permutation(n_raters)[per_face:]] = np.nan
            if np.isnan(ratings).all(axis=0).any():
                return True
            errors, freedom = severity_errors(ratings)
            found = additive_effects(ratings)[1][0]
            half = student.ppf(0.975, freedom) * errors[0]
            return bool(abs(found - (severity[0] - severity.mean())) <= half)

        yield Case("severity", f"{n_faces} faces, {per_face} of {n_raters} raters each", "coverage", draw)


def every_case() -> Iterator[Case]:
    """All cases, in the order of the report."""
    for cases in (
        group_tests,
        accuracy_intervals,
        rare_options,
        difference_maps,
        temperatures,
        severities,
    ):
        yield from cases()
