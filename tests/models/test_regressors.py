"""The regressor that the settings name, and what training leaves behind."""

import numpy as np
import pytest

import facestats as fs
from facestats.core.config import RatingsSettings

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", ["ridge", "mlp"])
def test_the_settings_choose_the_regressor(name):
    found = fs.models.regressor(RatingsSettings(regressor=name))
    assert found == getattr(fs.models, name)()
    assert found.name.startswith(name)


def test_training_is_repeatable_and_leaves_the_random_state_of_torch():
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(40, 3)), np.arange(40.0)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second = (
        fs.models.mlp(epochs=10).fit(features, target, groups=np.arange(40), seed=3) for _ in range(2)
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert all(
        np.array_equal(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)
    )
    assert [(w.shape, b.shape) for w, b in first] == [((3, 16), (16,)), ((16, 1), (1,))]
