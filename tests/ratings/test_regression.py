import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.models import mlp, ridge
from facestats.ratings.regression import (
    apply_layers,
    assign_folds,
    cross_validate,
    fit_features,
    fit_spread,
    held_out_quantile,
    spread_at,
)


class Memory:
    """A regressor that learns the training rows by heart, and knows nothing else."""

    name = "memory"

    def fit(self, features, target, *, groups, seed):
        self.groups = groups
        weight = np.linalg.lstsq(features, target, rcond=None)[0]
        return [(weight[:, None], np.zeros(1))]


@given(st.lists(st.integers(0, 20), min_size=30, max_size=80), st.integers(2, 5))
def test_groups_are_never_torn_apart(groups, n_folds):
    keys = np.array([*groups, *range(21)])
    folds = assign_folds(keys, n_folds=n_folds, seed=0)
    assert set(folds) == set(range(n_folds))
    assert all(len(set(folds[keys == g])) == 1 for g in set(keys))


def test_too_few_groups_say_what_makes_a_group():
    with pytest.raises(ValueError, match=r"3 groups are too few for 5 folds\. .*min_cosine"):
        assign_folds(np.array([0, 1, 2, 2]), n_folds=5, seed=0)


def test_copies_on_both_sides_would_cheat_and_groups_prevent_it():
    rng = np.random.default_rng(0)
    once = rng.normal(size=(40, 60))
    x, y = np.vstack([once, once]), np.tile(rng.normal(size=40), 2)
    honest, cheated = (
        cross_validate(Memory(), {"embedding": x}, y, groups=g, n_shape=0, n_folds=5, seed=0).predicted
        for g in (np.tile(np.arange(40), 2), np.arange(80))
    )
    assert np.corrcoef(cheated, y)[0, 1] > 0.6
    assert abs(np.corrcoef(honest, y)[0, 1]) < 0.35


@pytest.mark.slow
@pytest.mark.parametrize("regressor", [ridge(), mlp(epochs=60)], ids=["ridge", "mlp"])
def test_a_linear_dependence_is_found(regressor):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 20))
    y = x[:, 0] - 2 * x[:, 1] + rng.normal(0, 0.5, 150)
    held = cross_validate(regressor, {"embedding": x}, y, groups=np.arange(150), n_shape=0, n_folds=3, seed=0)
    assert np.corrcoef(held.predicted, y)[0, 1] > 0.85
    layers = regressor.fit(x, y, groups=np.arange(150), seed=0)
    assert apply_layers(layers, x) == pytest.approx(
        apply_layers(regressor.fit(x, y, groups=np.arange(150), seed=0), x)
    )


def test_distance_is_about_one_and_grows_outside():
    rng = np.random.default_rng(0)
    axes = rng.normal(size=(5, 30))
    x = rng.normal(size=(400, 5)) @ axes + rng.normal(0, 0.05, (400, 30))
    features = fit_features({"embedding": x[:300]}, n_shape=0)
    inside = features.distance(features.apply({"embedding": x[300:]}))
    strange = features.distance(features.apply({"embedding": rng.normal(0, 2, (50, 30))}))
    assert inside.mean() == pytest.approx(1, abs=0.2)
    assert strange.min() > inside.max()


def test_blocks_weigh_the_same_whatever_their_unit():
    rng = np.random.default_rng(0)
    blocks = {"embedding": rng.normal(0, 100, (50, 4)), "landmarks": rng.normal(size=(50, 9, 2))}
    x = fit_features(blocks, n_shape=6).apply(blocks)
    parts = (x**2).sum(axis=0)
    assert parts[:4].sum() == pytest.approx(parts[4:].sum())


@given(st.floats(0.5, 0.99), st.integers(20, 200))
def test_the_quantile_holds_its_share(level, n):
    values = np.random.default_rng(n).normal(size=n)
    assert (np.abs(values) <= held_out_quantile(values, level)).mean() >= min(level, 1) - 1e-9


def test_spread_grows_with_distance_where_residuals_do():
    rng = np.random.default_rng(0)
    distance = rng.uniform(0.5, 3, 2000)
    found, sd = fit_spread(rng.normal(0, np.sqrt(0.2 + 0.3 * distance**2)), distance)
    assert found == pytest.approx([0.2, 0.3], abs=0.1)
    assert sd == pytest.approx(spread_at(found, distance))
