"""Simulated ratings follow the true scores and biases that they report."""

from __future__ import annotations

import numpy as np
import pytest

from facestats.demo.raters import score_characters, simulate_ratings
from facestats.demo.writing.people import ATTRIBUTES, draw_record


def people(n):
    rng = np.random.default_rng(0)
    return [draw_record(rng) for _ in range(n)]


def test_ratings_are_whole_points_of_the_scale_and_repeatable():
    records = people(40)
    first, second = (simulate_ratings(records, seed=1, share=0.5) for _ in range(2))
    assert set(first.rating) <= set(range(1, 8))
    assert np.array_equal(first.rating, second.rating)
    assert 0.4 < len(first.rating) / (40 * 12) < 0.6


def test_more_raters_change_no_score():
    records = people(40)
    few, many = (simulate_ratings(records, seed=1, n_raters=n) for n in (5, 50))
    assert np.array_equal(few.score, many.score)
    assert np.array_equal(few.bias, many.bias[:5])


def test_rater_effects_come_back_from_unrounded_ratings():
    found = simulate_ratings(people(600), seed=4, n_raters=8, rounded=False)
    table = found.rating.reshape(600, 8)
    for j in range(8):
        slope, level = np.polyfit(found.score - 4.0, table[:, j], 1)
        assert slope == pytest.approx(found.slope[j], abs=0.15)
        assert level - 4.0 == pytest.approx(found.bias[j], abs=0.15)
    residual = table - 4.0 - found.bias - found.slope * (found.score[:, None] - 4.0)
    assert residual.std() == pytest.approx(found.noise_sd, rel=0.05)


def test_mean_ratings_approach_the_true_order_as_raters_grow():
    records = people(300)
    found = {n: simulate_ratings(records, seed=2, n_raters=n) for n in (2, 60)}
    r = {n: np.corrcoef(f.rating.reshape(300, n).mean(1), f.score)[0, 1] for n, f in found.items()}
    assert r[2] < r[60]
    assert r[60] > 0.97


def test_scores_depend_on_what_is_seen_and_on_the_character_alone():
    plain = dict.fromkeys(ATTRIBUTES)
    fancy = plain | {"hair_color": "colorful", "dress": "fantasy"}
    gap = score_characters([fancy], seed=1) - score_characters([plain], seed=1)
    assert gap[0] > 0.5
    everyone = [
        plain | {"gender": g, "ethnicity": e} for g in ("male", "female") for e in ("Asian", "African")
    ]
    assert np.ptp(score_characters(everyone, seed=1, own_sd=0.0)) == 0.0


@pytest.mark.parametrize("wrong", [{"n_raters": 0}, {"share": 1.5}])
def test_impossible_rater_panels_are_refused(wrong):
    with pytest.raises(ValueError, match="n_raters must be"):
        simulate_ratings(people(2), seed=0, **wrong)
