import numpy as np
import pytest

from facestats.ratings.agreement import correlate
from facestats.ratings.held_out import held_out_r, score_held_out
from facestats.ratings.regression import cross_validate


class Penalised:
    """Ridge with one strong penalty, as it is chosen where little can be learned."""

    name = "penalised"

    def fit(self, features, target, *, groups, seed):
        system = features.T @ features + 100 * np.eye(features.shape[1])
        weight = np.linalg.solve(system, features.T @ (target - target.mean()))
        return [(weight[:, None], np.array([target.mean()]))]


def drawn(seed, *, signal=0.0, n=50, n_folds=10):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 30))
    ratings = 4 + signal * x[:, :1] + rng.normal(0, 1, (n, 4))
    y, groups = ratings.mean(axis=1), np.arange(n)
    held = cross_validate(
        Penalised(), {"embedding": x}, y, groups=groups, n_shape=0, n_folds=n_folds, seed=seed
    )
    return ratings, y, held, groups


@pytest.mark.slow
def test_where_nothing_can_be_learned_r_is_about_zero_and_no_skill_is_claimed():
    pooled, found, below, skilled = [], [], 0, 0
    for seed in range(40):
        ratings, y, held, groups = drawn(seed)
        rows = {
            row["measure"]: row
            for row in score_held_out(ratings, y, held, groups, seed=0).iter_rows(named=True)
        }
        pooled.append(correlate(y, held.predicted))
        found.append(rows["r"]["value"])
        below += rows["r"]["high"] < 0
        skilled += rows["skill"]["low"] > 0
    assert np.mean(pooled) < -0.2  # what pooling the folds as they are says of nothing
    assert abs(np.mean(found)) < 0.1
    assert below <= 10  # resamples of faces leave out what other training faces would have said
    assert skilled <= 2


def test_what_can_be_learned_is_found_and_predicts_better_than_the_mean():
    ratings, y, held, groups = drawn(0, signal=1.5, n=120)
    rows = {m: (v, low, high) for m, v, low, high in score_held_out(ratings, y, held, groups, seed=0).rows()}
    assert rows["r"][1] > 0.5
    error = ((y - held.predicted) ** 2).sum() / ((y - held.baseline) ** 2).sum()
    assert rows["skill"][0] == pytest.approx(1 - error)
    assert 0 < rows["skill"][1] < rows["skill"][0] < rows["skill"][2] < 1


def test_the_baseline_of_a_face_is_the_mean_of_the_faces_in_other_folds():
    _, y, held, _ = drawn(3)
    for k in range(10):
        assert held.baseline[held.fold == k] == pytest.approx(y[held.fold != k].mean())


def test_predictions_that_do_not_vary_have_no_correlation():
    baseline = np.array([4.0, 4.1, 3.9, 4.0])
    assert held_out_r(np.array([3.0, 4, 5, 6]), baseline, baseline) == 0
    assert np.isnan(held_out_r(np.array([3.0]), np.array([4.0]), np.array([4.0])))
