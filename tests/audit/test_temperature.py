import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.audit.temperature import (
    apply_temperature,
    calibration_bins,
    calibration_error,
    chance_errors,
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
        for a, b in split_folds(300, n_repeats=50, seed=0)
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
    for a, b in split_folds(21, n_repeats=3, seed=0):
        assert sorted([*a, *b]) == list(range(21))


@pytest.mark.parametrize("n", [60, 240])
def test_sound_probabilities_seem_as_wrong_as_chance_says(n):
    """The error of few labels is mostly noise: it exceeds the 95 % quantile of chance about one time in twenty."""
    beyond, errors, expected = [], [], []
    for seed in range(150):
        probs, truth = world(n, sharpness=1, seed=seed)
        confidence = probs.max(axis=1)
        folds = [half for pair in split_folds(n, n_repeats=3, seed=seed) for half in pair[1:]]
        right = probs.argmax(axis=1) == truth
        found = np.mean([calibration_error(confidence[f], right[f]) for f in folds])
        chance = chance_errors(confidence, folds, seed=seed + 1)
        beyond.append(found > np.quantile(chance, 0.95))
        errors.append(found)
        expected.append(chance.mean())
    assert np.mean(beyond) < 0.1
    assert np.mean(expected) == pytest.approx(np.mean(errors), rel=0.1)
    assert np.mean(errors) > (0.1 if n == 60 else 0.05)


def test_false_pride_exceeds_chance():
    probs, truth = world(240, sharpness=4)
    folds = [held for _, held in split_folds(240, n_repeats=3, seed=0)]
    right = probs.argmax(axis=1) == truth
    found = np.mean([calibration_error(probs.max(axis=1)[f], right[f]) for f in folds])
    assert found > np.quantile(chance_errors(probs.max(axis=1), folds), 0.95) + 0.05
