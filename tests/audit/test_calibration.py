import numpy as np
import polars as pl
import pytest

import facestats as fs
from tests.audit.conftest import ATTRIBUTES, enum, labelled

GENDER = {"gender": ATTRIBUTES["gender"]}


def stated(n, *, probability, correct):
    """Labels that all state one probability, and a truth in which `correct` of them are correct."""
    ids = [f"{i:03d}.jpg" for i in range(n)]
    probs = pl.Series([[probability, 1 - probability]] * n, dtype=pl.Array(pl.Float32, 2))
    true = enum("gender", np.arange(n) >= correct)
    labels = pl.DataFrame({"image_id": ids, "gender_probs": probs})
    return labels, pl.DataFrame({"image_id": ids, "true_gender": true})


def test_a_known_overconfidence_is_measured():
    """Labels state 90 % and are correct for 75 %: the temperature that corrects this is log 9 / log 3 = 2."""
    labels, truth = stated(400, probability=0.9, correct=300)
    found = fs.audit.calibration(labels, GENDER, truth).row(0, named=True)
    assert (found["attribute"], found["source"], found["n"]) == ("gender", "image", 400)
    assert found["accuracy"] == 0.75
    assert found["temperature"] == pytest.approx(2, abs=0.05)
    # the error of bins of twenty faces, of which random shares are correct, about a mean of 0.15
    assert found["ece"] == pytest.approx(0.15, abs=0.02)
    assert found["ece"] > found["ece_chance_high"] > found["ece_chance"] > 0
    assert found["ece_scaled"] < 0.1
    assert found["log_loss"] == pytest.approx(-(0.75 * np.log(0.9) + 0.25 * np.log(0.1)), abs=0.001)
    assert found["log_loss_scaled"] == pytest.approx(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)), abs=0.01)
    assert (found["coverage"], found["set_size"]) == (1, 2)


def test_calibrated_probabilities_keep_a_temperature_of_one():
    labels, truth = stated(400, probability=0.75, correct=300)
    found = fs.audit.calibration(labels, GENDER, truth).row(0, named=True)
    assert found["temperature"] == pytest.approx(1, abs=0.05)
    assert found["ece"] < found["ece_chance_high"]


def test_an_attribute_with_fewer_than_twenty_known_faces_is_left_out():
    for n, height in ((19, 0), (20, 1)):
        labels, truth = stated(n, probability=0.9, correct=15)
        assert fs.audit.calibration(labels, GENDER, truth).height == height
        assert fs.audit.label_sets(labels, GENDER, truth).width == 1 + 2 * height


def test_without_truth_there_are_no_rows_and_no_sets(world):
    nothing = world[1].clear().select("image_id")
    assert fs.audit.calibration(world[0], ATTRIBUTES, nothing).height == 0
    assert fs.audit.label_sets(world[0], ATTRIBUTES, nothing).columns == ["image_id"]


def test_the_probabilities_of_a_probe_come_first(world):
    master, truth = world
    true = truth["true_hair_color"].to_physical().to_numpy()
    probe = labelled(np.random.default_rng(2), true, "hair_color", accuracy=0.99, prefix="probe_")
    wider = master.with_columns(**probe)
    found = fs.audit.calibration(wider, ATTRIBUTES, truth, n_repeats=2)
    assert dict(found.select("attribute", "source").rows()) == {
        "gender": "image",
        "ethnicity": "image",
        "hair_color": "probe",
    }
    exact = (probe["probe_hair_color"] == truth["true_hair_color"]).mean()
    assert found.filter(attribute="hair_color")["accuracy"][0] == pytest.approx(exact)
    sets = fs.audit.label_sets(wider, ATTRIBUTES, truth)
    assert (sets["hair_color_set_source"][0], sets["gender_set_source"][0]) == ("probe", "image")


def test_label_sets_hold_the_truth_as_often_as_asked(world):
    master, truth = world
    sets = fs.audit.label_sets(master, ATTRIBUTES, truth.head(300), coverage=0.97)
    assert sets["image_id"].equals(master["image_id"])
    inside = pl.select(sets["gender_set"].list.contains(truth["true_gender"])).to_series()
    assert inside.tail(300).mean() > 0.94
    assert set(sets["gender_set"].list.len()) <= {1, 2}


def test_a_label_set_lists_what_cannot_be_ruled_out():
    """One face states 60 %, the others 90 % and are correct; a picture without a vector has no set."""
    labels, truth = stated(40, probability=0.9, correct=40)
    more = pl.DataFrame(
        {
            "image_id": ["unsure.jpg", "none.jpg"],
            "gender_probs": pl.Series([[0.6, 0.4], None], dtype=pl.Array(pl.Float32, 2)),
        }
    )
    sets = fs.audit.label_sets(pl.concat([labels, more]), GENDER, truth, coverage=0.9)
    assert sets["gender_set"].to_list()[39:] == [["male"], [], None]
    doubted, truth = stated(40, probability=0.9, correct=30)
    sets = fs.audit.label_sets(pl.concat([doubted, more]), GENDER, truth, coverage=0.9)
    assert sets["gender_set"].to_list()[39:] == [["male", "female"], ["male", "female"], None]
