from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facestats.ratings.agreement import (
    additive_effects,
    correlate,
    find_panels,
    fisher_interval,
    icc_intervals,
    rater_agreement,
    split_half,
    split_variance,
)

# Shrout & Fleiss 1979, table 2, and the coefficients of their table 4
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def simulated(n_faces, n_raters, *, share=1.0, seed=0, sd=(1.0, 0.7, 1.2)):
    rng = np.random.default_rng(seed)
    faces, raters = rng.normal(0, sd[0], n_faces), rng.normal(0, sd[1], n_raters)
    ratings = 4 + faces[:, None] + raters + rng.normal(0, sd[2], (n_faces, n_raters))
    ratings[rng.random(ratings.shape) > share] = np.nan
    return ratings, faces, raters


def rated(n_faces, n_raters, **options):
    """Simulated ratings of the faces that anybody rated."""
    ratings, _, _ = simulated(n_faces, n_raters, **options)
    return ratings[np.isfinite(ratings).any(axis=1)]


def test_the_coefficients_are_those_of_shrout_and_fleiss():
    found = split_variance(SHROUT_FLEISS)
    assert round(found.icc(), 2) == 0.29
    assert round(found.icc(4), 2) == 0.62
    assert round(found.consistency(1), 2) == 0.71
    assert round(found.consistency(4), 2) == 0.91


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 50))
def test_missing_cells_leave_the_components_near_the_truth(seed):
    ratings, _, _ = simulated(300, 12, share=0.5, seed=seed)
    found = split_variance(ratings)
    assert found.faces == pytest.approx(1.0, abs=0.35)
    assert found.rest == pytest.approx(1.44, abs=0.25)


def test_severity_comes_back_though_raters_see_different_faces():
    ratings, faces, raters = simulated(400, 10, share=0.4)
    ratings[:200, :5] = np.nan  # half of the raters see only half of the faces
    kept = np.isfinite(ratings).any(axis=1)
    level, severity = additive_effects(ratings[kept])
    assert severity == pytest.approx(raters - raters.mean(), abs=0.35)
    plain = np.nanmean(ratings[kept], axis=1)
    assert correlate(level, faces[kept]) > correlate(plain, faces[kept])


def test_effects_of_an_additive_table_are_exact():
    faces, raters = np.array([1.0, 2, 5, 4]), np.array([-1.0, 0, 1])
    table = faces[:, None] + raters
    table[0, 0] = table[2, 1] = np.nan
    level, severity = additive_effects(table)
    assert level == pytest.approx(faces)
    assert severity == pytest.approx(raters)


def test_a_rater_who_never_varies_agrees_with_nobody_and_harms_nobody():
    ratings, _, _ = simulated(40, 6)
    ratings[:, 0] = 3.0
    found = rater_agreement(ratings)
    assert np.isnan(found[0])
    assert np.isfinite(found[1:]).all()


def test_stepped_up_halves_and_consistency_agree():
    ratings, _, _ = simulated(200, 20, share=0.7)
    halves = split_half(ratings, n_splits=200, seed=0)
    found = split_variance(ratings)
    assert np.mean(2 * halves / (1 + halves)) == pytest.approx(found.consistency(found.per_face), abs=0.02)


def test_too_few_ratings_are_refused():
    with pytest.raises(ValueError, match="2 ratings of 2 faces by 2 raters cannot be split"):
        split_variance(np.array([[1.0, np.nan], [np.nan, 2.0]]))


@settings(deadline=None)  # the first call imports scipy
@given(st.floats(-0.99, 0.99), st.integers(4, 500))
def test_fisher_interval_encloses_the_correlation(r, n):
    low, high = fisher_interval(r, n)
    assert -1 <= low <= r <= high <= 1


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([(30, 20), (12, 40)]))
def test_the_order_of_raters_changes_nothing_though_two_panels_share_no_face(seed, size):
    ratings, _, _ = simulated(*size, share=0.7, seed=seed)
    ratings[: size[0] // 2, : size[1] // 2] = ratings[size[0] // 2 :, size[1] // 2 :] = np.nan
    ratings = ratings[np.isfinite(ratings).any(axis=1)][:, np.isfinite(ratings).any(axis=0)]
    order = np.random.default_rng(seed).permutation(ratings.shape[1])
    faces, severity = additive_effects(ratings)
    again, permuted = additive_effects(ratings[:, order])
    assert again == pytest.approx(faces, abs=1e-9)
    assert permuted == pytest.approx(severity[order], abs=1e-9)
    of_face, of_rater = find_panels(ratings)
    for panel in set(of_rater):
        assert severity[of_rater == panel].mean() == pytest.approx(0, abs=1e-9)
        inside = ratings[of_face == panel][:, of_rater == panel]
        assert additive_effects(inside)[0] == pytest.approx(faces[of_face == panel], abs=1e-9)


def test_panels_differ_as_their_plain_means_do():
    ratings, _, _ = simulated(40, 12)
    ratings[:20, :6] = ratings[20:, 6:] = np.nan
    faces, _ = additive_effects(ratings)
    assert faces == pytest.approx(np.nanmean(ratings, axis=1))
    assert len(set(find_panels(ratings)[0])) == 2


def test_components_of_two_panels_are_unbiased():
    found = []
    for seed in range(200):
        ratings, _, _ = simulated(8, 8, seed=seed)
        ratings[:4, :4] = ratings[4:, 4:] = np.nan
        found.append(split_variance(ratings).rest)
    error = np.std(found) / np.sqrt(200)
    assert np.mean(found) == pytest.approx(1.44, abs=2.5 * error)


@pytest.mark.slow
@pytest.mark.parametrize("n_raters", [5, 12])
def test_the_intervals_hold_what_other_faces_and_other_raters_would_have_said(n_raters):
    truth, runs = 1 / (1 + 0.7**2 + 1.2**2), 50
    hits = 0
    for seed in range(runs):
        (low, high), _ = icc_intervals(rated(40, n_raters, seed=seed), n_resamples=100, seed=seed)
        hits += low <= truth <= high
    assert hits / runs >= 0.87  # faces alone: 48 % with 5 raters, 80 % with 12


@pytest.mark.slow
@settings(deadline=None, max_examples=10)
@given(st.integers(0, 200), st.sampled_from([0.5, 1.0]))
def test_the_estimate_lies_inside_and_the_seed_fixes_the_ends(seed, share):
    ratings = rated(30, 8, share=share, seed=seed)
    found = split_variance(ratings)
    ends = icc_intervals(ratings, n_resamples=60, seed=seed)
    for (low, high), value in zip(ends, (found.icc(), found.icc(found.per_face)), strict=True):
        assert 0 <= low <= value <= high <= 1
    assert ends == icc_intervals(ratings, n_resamples=60, seed=seed)


@pytest.mark.parametrize("seed", range(5))
def test_raters_who_agree_on_nothing_may_still_have_agreed_a_little(seed):
    ratings = rated(30, 6, sd=(0.0, 0.7, 1.2), seed=seed)
    (low, high), _ = icc_intervals(ratings, n_resamples=100, seed=0)
    assert low <= 0.01
    assert 0.01 < high < 0.4
