import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.core.calibration import (
    apply_temperature,
    calibration_bins,
    calibration_error,
    conformal_threshold,
    coverage_accuracy,
    fit_temperature,
    in_set,
    split_folds,
)


def world(n, *, sharpness, seed=0, options=4):
    """Probabilities that are true, and the same stated too sure by `sharpness`."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet(np.full(options, 0.7), n)
    truth = np.array([rng.choice(options, p=p) for p in true])
    return apply_temperature(true, 1 / sharpness), truth


@pytest.mark.parametrize("sharpness", [0.5, 2.0, 4.0])
def test_temperature_undoes_false_modesty_and_false_pride(sharpness):
    probs, truth = world(2000, sharpness=sharpness)
    heat = fit_temperature(probs[:1000], truth[:1000])
    assert heat == pytest.approx(sharpness, rel=0.15)
    right = probs[1000:].argmax(axis=1) == truth[1000:]
    scaled = apply_temperature(probs[1000:], heat)
    before, after = (calibration_error(p.max(axis=1), right) for p in (probs[1000:], scaled))
    assert after < before / 2


def test_rows_that_are_all_right_do_not_make_the_model_boundless():
    probs, _ = world(60, sharpness=1)
    truth = probs.argmax(axis=1)
    assert 0.05 < fit_temperature(probs, truth) < 1


@given(st.floats(0.1, 10))
def test_temperature_keeps_the_order(heat):
    probs, _ = world(20, sharpness=1)
    scaled = apply_temperature(probs, heat)
    assert scaled.sum(axis=1) == pytest.approx(1)
    assert (scaled.argmax(axis=1) == probs.argmax(axis=1)).all()


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_truth_as_often_as_promised(coverage):
    probs, truth = world(300, sharpness=3)
    held = [
        in_set(probs[b], conformal_threshold(probs[a], truth[a], coverage))[
            np.arange(len(b)), truth[b]
        ].mean()
        for a, b in split_folds(300, repeats=50, seed=0)
    ]
    assert np.mean(held) == pytest.approx(coverage, abs=0.02)


def test_too_few_rows_leave_every_option_in():
    probs, truth = world(5, sharpness=1)
    assert in_set(probs, conformal_threshold(probs, truth, 0.9)).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=80))
def test_bins_lose_no_label(rows):
    said, right = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    means, shares, n = calibration_bins(said, right)
    assert n.sum() == len(rows)
    assert (means * n).sum() == pytest.approx(said.sum())
    assert (shares * n).sum() == pytest.approx(right.sum())
    kept, share, threshold = coverage_accuracy(said, right)
    assert kept[-1] == 1
    assert share[-1] == pytest.approx(right.mean())
    assert (np.diff(threshold) < 0).all()


def test_halves_share_no_row():
    for a, b in split_folds(21, repeats=3, seed=0):
        assert sorted([*a, *b]) == list(range(21))
