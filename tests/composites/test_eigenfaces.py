from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import facestats as fs

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def test_eigenfaces_find_what_differs_most(faces: pl.DataFrame, crops: Path):
    found = fs.composites.eigenfaces(faces, crops, n_components=3, side=48)
    assert found.components.shape == (3, 48, 48, 3)
    assert np.allclose((found.components**2).sum(axis=(1, 2, 3)), 1, atol=1e-3)
    assert found.explained[0] > 0.5  # half of the faces are lighter
    walk = found.walk(0, steps=(-2, 0, 2))
    assert abs(walk[2].mean() - walk[0].mean()) > 20
    assert np.abs(walk[1] - found.mean).max() <= 0.5
    with pytest.raises(ValueError, match="component must be 0 to 2"):
        found.walk(3)
    with pytest.raises(ValueError, match="min_faces is 22"):
        fs.composites.eigenfaces(faces, crops, n_components=20)


def test_eigenfaces_keep_their_filter(faces: pl.DataFrame, crops: Path):
    women = fs.composites.eigenfaces(faces, crops, n_components=2, side=32, where={"gender": "female"})
    assert women.n == 10
    assert women.settings["where"] == "gender = female"
    with pytest.raises(ValueError, match="5 rows fulfil all conditions, but 10 are needed"):
        fs.composites.eigenfaces(faces, crops, n_components=8, where={"age": (None, 24)})
