import polars as pl
import pytest

import facestats as fs
from facestats.core.stats import wilson_interval
from tests.audit.conftest import ATTRIBUTES, OPTIONS, enum

HAIR = {"hair_color": ATTRIBUTES["hair_color"]}


@pytest.fixture
def labels():
    """Two black, three brown, no red; one face without a label."""
    label = pl.Series(["black"] * 2 + ["brown"] * 3 + [None], dtype=pl.Enum(OPTIONS["hair_color"]))
    score = pl.Series([0.6, 0.8, 0.5, 0.5, 0.8, None])
    return pl.DataFrame(
        {
            "image_id": [f"{i}.jpg" for i in range(6)],
            "image_hair_color": label,
            "image_hair_color_score": score,
        }
    )


def test_options_are_counted_without_truth(labels):
    found = fs.audit.options(labels, HAIR)
    assert found["option"].to_list() == ["black", "brown", "red"]
    assert found["n"].to_list() == [2, 3, 0]
    assert found["share"].to_list() == pytest.approx([0.4, 0.6, 0])
    assert found["score"].to_list() == [pytest.approx(0.7), pytest.approx(0.6), None]
    assert found["n_true"].null_count() == found["recall"].null_count() == 3


def test_recall_is_the_share_of_true_faces_that_are_found(labels):
    truth = pl.DataFrame(
        {"image_id": labels["image_id"], "true_hair_color": enum("hair_color", [0, 1, 1, 1, 0, 0])}
    )
    found = fs.audit.options(labels, HAIR, truth)
    assert found["n_true"].to_list() == [3, 3, 0]
    assert found["recall"].to_list() == [pytest.approx(1 / 3), pytest.approx(2 / 3), None]
    low, high = wilson_interval([1, 2], [3, 3])
    assert found["recall_low"].head(2).to_list() == pytest.approx(low)
    assert found["recall_high"].head(2).to_list() == pytest.approx(high)


def test_a_truth_without_rows_gives_no_recall(world):
    master, truth = world
    found = fs.audit.options(master, ATTRIBUTES, truth=truth.clear().select("image_id"))
    assert found["recall"].null_count() == found.height == 8


def test_options_of_the_world_are_found_as_often_as_its_labels_are_correct(world):
    master, truth = world
    found = fs.audit.options(master, ATTRIBUTES, truth)
    for name, options in OPTIONS.items():
        part = found.filter(attribute=name)
        assert part["n"].sum() == part["n_true"].sum() == master.height
        for option in options:
            true = truth[f"true_{name}"] == option
            exact = (master[f"image_{name}"].filter(true) == option).mean()
            assert part.filter(option=option)["recall"][0] == pytest.approx(exact)
