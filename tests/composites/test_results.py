from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from facestats import average_faces

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def test_a_long_filter_is_whole_in_the_settings_and_short_on_a_figure(faces: pl.DataFrame, crops: Path):
    names = faces["image_id"].to_list()
    mean = average_faces(faces, crops, where={"image_id": names})
    assert mean.settings["where"] == f"image_id in {', '.join(names)}"
    assert max(map(len, mean.caption.split("\n"))) == 80


def test_a_difference_weighs_its_members_so_that_they_make_it(
    results: dict, faces: pl.DataFrame, crops: Path
):
    found = results["difference"]
    genders = dict(faces.select("image_id", "gender").iter_rows())
    assert [genders[m] for m in found.members] == ["female"] * 10 + ["male"] * 9
    assert found.settings["where"] == "gender = female minus gender = male"
    assert sum(found.weights[:10]) == pytest.approx(1)
    assert sum(found.weights[10:]) == pytest.approx(-1)
    pixels = np.asarray(found.image).astype(float)
    assert np.abs(pixels - 128 - found.difference).max() <= 0.5
    light = dict(
        zip(faces["image_id"], (Image.open(crops / c).convert("L") for c in faces["crop"]), strict=True)
    )
    total = sum(w * np.asarray(light[m]).mean() for m, w in zip(found.members, found.weights, strict=True))
    assert found.difference.mean() == pytest.approx(total, abs=1)


def test_eigenfaces_as_a_picture_are_their_walks(results: dict):
    found = results["eigenfaces"]
    sheet = np.asarray(found.image)
    assert sheet.shape == (3 * 48, 5 * 48, 3)
    assert np.array_equal(sheet[48:96, 2 * 48 : 3 * 48], found.walk(1, steps=(0,))[0])
    assert np.array_equal(sheet[:48, -48:], found.walk(0, steps=(3,))[0])


def test_results_print_what_they_are_and_no_array(results: dict):
    assert repr(results["women"]) == "Composite(mean, n = 10, gender = female, 96 x 96 pixels)"
    share = results["difference"].significant.mean()
    assert repr(results["difference"]) == (
        f"GroupDifference(female (n = 10) minus male (n = 9), {share:.0%} of 128 x 128 pixels significant)"
    )
    explained = ", ".join(f"{share:.0%}" for share in results["eigenfaces"].explained)
    assert repr(results["eigenfaces"]) == f"Eigenfaces({explained} of the variance, n = 20, 48 x 48 pixels)"
