import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from facestats.audit.confusion import (
    association,
    balanced_accuracy,
    count_pairs,
    macro_f1,
    score_pairs,
)
from facestats.core.stats import cohen_kappa

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60)


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
@settings(deadline=None)
@given(PAIRS)
def test_scores_are_those_of_scikit_learn(pairs):
    truth, label = np.array(pairs).T
    counts = count_pairs(truth, label, 4)
    assert balanced_accuracy(counts) == pytest.approx(np.mean(_recalls(truth, label)))
    assert macro_f1(counts) == pytest.approx(metrics.f1_score(truth, label, average="macro"))
    if len(set(truth) | set(label)) > 1:
        assert cohen_kappa(counts) == pytest.approx(metrics.cohen_kappa_score(truth, label))


def _recalls(truth, label):
    return [(label[truth == option] == option).mean() for option in set(truth)]


def test_intervals_cover_the_accuracy_of_the_generator():
    """Groups of 40 faces whose labels are right with a known probability: 95 % of the intervals hold it."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(400):
        truth = rng.integers(0, 4, 40)
        label = np.where(rng.random(40) < 0.85, truth, (truth + 1) % 4)
        found = score_pairs(count_pairs(truth, label, 4), n_resamples=200)
        held.append([s.low <= 0.85 <= s.high for s in (found["accuracy"], found["balanced_accuracy"])])
    accuracy, balanced = np.mean(held, axis=0)
    assert 0.93 <= accuracy <= 0.99
    assert 0.87 <= balanced <= 0.99  # percentile bootstrap of ten faces an option


def test_a_missing_label_is_wrong():
    found = score_pairs(count_pairs(np.array([0, 0, 1]), np.array([0, -1, 1]), 2))
    assert found["accuracy"].value == pytest.approx(2 / 3)
    assert found["balanced_accuracy"].value == pytest.approx(0.75)


def test_nothing_to_score_is_nan():
    assert all(np.isnan(s.value) for s in score_pairs(np.zeros((2, 3), dtype=int)).values())


def test_association_is_zero_by_chance_and_one_by_rule():
    rng = np.random.default_rng(0)
    chance = [association(rng.multinomial(200, np.full(12, 1 / 12)).reshape(3, 4)) for _ in range(50)]
    assert np.mean(chance) < 0.06
    assert association(np.diag([50, 60, 70])) == pytest.approx(1, abs=0.02)
    assert np.isnan(association(np.array([[3, 4]])))


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
@settings(deadline=None)
@given(PAIRS)
def test_scores_over_the_true_options_ignore_those_only_labelled(pairs):
    truth, label = np.array(pairs).T
    known = sorted(set(truth))
    expected = metrics.f1_score(truth, label, average="macro", labels=known, zero_division=0)
    assert macro_f1(count_pairs(truth, label, 4), true_options_only=True) == pytest.approx(expected)


@settings(deadline=None)
@given(PAIRS, st.booleans())
def test_every_interval_holds_its_value_and_has_a_width(pairs, true_options_only):
    truth, label = np.array(pairs).T
    counts = count_pairs(truth, label, 4)
    for score in score_pairs(counts, true_options_only=true_options_only, n_resamples=50).values():
        assert 0 <= score.low <= score.value <= score.high <= 1
        assert score.low < score.high


def test_sixteen_of_sixteen_right_is_not_certainty():
    both = np.arange(16) % 2
    right, *others = score_pairs(count_pairs(both, both, 2)).values()
    assert right == pytest.approx((1, 0.806, 1), abs=0.001)
    for score in others:
        assert score.high == score.value == 1
        assert 0.75 < score.low < 0.9
