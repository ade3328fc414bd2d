import polars as pl
import pytest

import facestats as fs
from facestats.core.stats import wilson_interval
from tests.audit.conftest import ATTRIBUTES, OPTIONS, enum


def test_agreement_and_kappa_of_known_labels():
    """Eight faces have both labels; six agree, half of them by chance: kappa is (6/8 - 1/2) / (1 - 1/2)."""
    picture = enum("gender", [0, 0, 0, 0, 1, 1, 1, 1, 0, 0])
    text = enum("gender", [0, 0, 0, 1, 1, 1, 1, 0, 0, 0])
    silent = pl.Series([False] * 8 + [True] * 2)
    master = pl.DataFrame({"image_gender": picture, "text_gender": text})
    master = master.with_columns(text_gender=pl.when(~silent).then("text_gender"))
    found = fs.audit.texts(master, ATTRIBUTES)
    assert found.select("attribute", "n", "agreement").rows() == [("gender", 8, 0.75)]
    assert found["kappa"][0] == pytest.approx(0.5)
    assert found.select("low", "high").row(0) == pytest.approx([float(end) for end in wilson_interval(6, 8)])


def test_labels_that_contradict_each_other_have_a_negative_kappa():
    master = pl.DataFrame(
        {"image_gender": enum("gender", [0, 1] * 5), "text_gender": enum("gender", [1, 0] * 5)}
    )
    found = fs.audit.texts(master, ATTRIBUTES)
    assert found.select("agreement", "kappa").row(0) == (0, -1)


def test_kappa_is_null_where_only_one_option_occurs_and_no_row_where_no_face_has_both():
    same = enum("gender", [0] * 5)
    nothing = pl.Series([None] * 5, dtype=pl.Enum(OPTIONS["ethnicity"]))
    master = pl.DataFrame(
        {
            "image_gender": same,
            "text_gender": same,
            "image_ethnicity": enum("ethnicity", [0] * 5),
            "text_ethnicity": nothing,
        }
    )
    assert fs.audit.texts(master, ATTRIBUTES).select("attribute", "agreement", "kappa").rows() == [
        ("gender", 1, None)
    ]


def test_texts_of_the_world_agree_as_often_as_both_are_correct_or_equally_wrong(world):
    found = fs.audit.texts(world[0], ATTRIBUTES)
    assert found["attribute"].to_list() == list(OPTIONS)
    for name, n, agreement in found.select("attribute", "n", "agreement").rows():
        both = world[0].select(f"image_{name}", f"text_{name}").drop_nulls()
        assert n == both.height
        assert agreement == pytest.approx((both[f"image_{name}"] == both[f"text_{name}"]).mean())
        assert agreement == pytest.approx(0.95 * 0.9, abs=0.06)
