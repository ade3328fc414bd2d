from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facestats.core.stats import cohen_kappa, smallest_gap, wilson_interval


def test_the_wilson_interval_is_that_of_statsmodels():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    k, n = np.array([0, 1, 7, 50, 100]), np.array([5, 30, 20, 100, 100])
    assert np.allclose(wilson_interval(k, n), proportion.proportion_confint(k, n, method="wilson"))


@settings(deadline=None)  # the first example imports scipy
@given(st.integers(0, 200), st.integers(0, 200))
def test_the_wilson_interval_holds_the_proportion_and_stays_within_0_and_1(k: int, more: int):
    low, high = wilson_interval([k], [k + more])
    share = k / max(k + more, 1)
    assert 0 <= low[0] <= share + 1e-12
    assert share - 1e-12 <= high[0] <= 1


def test_without_observations_the_interval_is_0_to_1():
    low, high = wilson_interval([0], [0])
    assert (low[0], high[0]) == (0, 1)


def test_kappa_is_that_of_scikit_learn():
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    a = rng.integers(0, 4, 200)
    b = np.where(rng.random(200) < 0.6, a, rng.integers(0, 4, 200))
    counts = np.zeros((4, 4), dtype=np.int64)
    np.add.at(counts, (a, b), 1)
    assert cohen_kappa(counts) == pytest.approx(cohen_kappa_score(a, b))
    assert np.isnan(cohen_kappa(np.diag([5, 0])))


@pytest.mark.parametrize(("n", "others", "share"), [(40, 200, 0.95), (150, 850, 0.98), (300, 300, 0.7)])
def test_a_group_with_the_smallest_gap_is_found_four_times_in_five(n, others, share):
    from scipy.stats import fisher_exact

    gap = smallest_gap(n, others, share)
    rng = np.random.default_rng(0)
    inside, rest = rng.binomial(n, share - gap, 300), rng.binomial(others, share, 300)
    p = [fisher_exact([[a, n - a], [b, others - b]]).pvalue for a, b in zip(inside, rest, strict=True)]
    assert 0.65 < np.mean(np.array(p) < 0.05) < 0.95


def test_larger_groups_show_smaller_gaps_and_tiny_ones_none():
    gaps = [smallest_gap(n, 1000, 0.95) for n in (10, 40, 160, 640)]
    assert gaps == sorted(gaps, reverse=True)
    assert smallest_gap(1, 2, 0.6) is None
    assert smallest_gap(0, 10, 0.9) is None
