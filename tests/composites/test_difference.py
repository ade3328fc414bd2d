from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

import facestats as fs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("method", ["mean", "warp"])
def test_a_difference_of_groups_is_found(faces: pl.DataFrame, crops: Path, method: str):
    found = fs.composites.difference(
        faces, crops, by="gender", groups=("female", "male"), method=method, n_resamples=199, seed=0
    )
    assert found.counts == (10, 10)
    assert found.n == 20
    # women are drawn 40 grey levels lighter everywhere
    assert np.median(found.difference) == pytest.approx(40, abs=2)
    assert found.significant.mean() > 0.9
    again = fs.composites.difference(
        faces, crops, by="gender", groups=("female", "male"), method=method, n_resamples=199, seed=0
    )
    assert np.array_equal(found.p, again.p)


def test_groups_too_small_to_compare_are_an_error(faces: pl.DataFrame, crops: Path):
    with pytest.raises(ValueError, match="gender = male: 3 of 7"):
        fs.composites.difference(faces.head(7), crops, by="gender", groups=("male", "female"), seed=0)


def test_a_group_of_one_face_has_no_spread_and_is_refused():
    project = fs.testing.example_project()
    faces = project.faces.join(project.truth, on="image_id")
    one = faces.filter(true_age="child").head(1)
    few = pl.concat([one, faces.filter(true_age="elderly")])
    pair = {"by": "true_age", "groups": ("child", "elderly"), "min_faces": 1}
    with pytest.raises(ValueError, match="2 are needed"):
        fs.composites.difference(few, project.crops_dir, **pair)
