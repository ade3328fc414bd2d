import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.audit.confusion import association
from tests.audit.conftest import ATTRIBUTES, OPTIONS, N, enum

PAIR = {name: ATTRIBUTES[name] for name in ("gender", "hair_color")}


def independent(n=60):
    """Labels of two attributes in which every pair of options is equally frequent."""
    codes = np.arange(n)
    labels = {"gender": enum("gender", codes % 2), "hair_color": enum("hair_color", codes // 2 % 3)}
    return pl.DataFrame({"image_id": [f"{i}.jpg" for i in range(n)], **labels})


def test_independent_labels_have_no_association():
    found = fs.audit.crosstalk(independent(), PAIR)
    assert found.select("a", "b", "n", "labels").row(0) == ("gender", "hair_color", 60, 0)
    assert found.select("truth", "excess", "low", "high").row(0) == (None,) * 4


def test_labels_that_follow_each_other_exceed_an_independent_truth():
    truth = independent().rename(lambda c: c if c == "image_id" else f"true_{c}")
    codes = np.arange(60)
    labels = independent().with_columns(hair_color=enum("hair_color", codes % 2))
    found = fs.audit.crosstalk(labels, PAIR, truth, n_resamples=50).row(0, named=True)
    assert (found["labels"], found["truth"], found["excess"]) == (pytest.approx(1), 0, pytest.approx(1))
    assert 0.6 < found["low"] <= found["high"] <= 1 + 1e-9
    assert found["example"] == "30 faces are labelled male and black; 10 are so in truth"


def test_without_truth_the_example_is_compared_with_chance():
    labels = independent().with_columns(hair_color=enum("hair_color", np.arange(60) % 2))
    found = fs.audit.crosstalk(labels, PAIR)
    assert found["example"][0] == "30 faces are labelled male and black; 15 are expected by chance"


def test_a_pair_needs_twenty_faces():
    assert fs.audit.crosstalk(independent(20), PAIR).height == 1
    assert fs.audit.crosstalk(independent(19), PAIR).height == 0


def test_an_attribute_that_follows_another_comes_first(world):
    master, truth = world
    follows = {"Asian": "black", "African": "brown", "Caucasian": "red"}
    color = truth["true_ethnicity"].cast(pl.String).replace_strict(follows)
    mixed = pl.select(
        pl.when(pl.Series(np.arange(N) % 2 == 0))
        .then(color)
        .otherwise(master["image_hair_color"].cast(pl.String))
    ).to_series()
    faulty = master.with_columns(image_hair_color=mixed.cast(pl.Enum(OPTIONS["hair_color"])))
    found = fs.audit.crosstalk(faulty, ATTRIBUTES, truth=truth, n_resamples=50)
    assert found.height == 3
    first = found.row(0, named=True)
    assert (first["a"], first["b"], first["n"]) == ("ethnicity", "hair_color", N)
    codes = [faulty[c].to_physical().to_numpy() for c in ("image_ethnicity", "image_hair_color")]
    counts = np.zeros((3, 3), dtype=int)
    np.add.at(counts, tuple(codes), 1)
    assert first["labels"] == pytest.approx(association(counts))
    assert first["low"] > 0.2
    row = fs.audit.findings(crosstalk=found).row(0, named=True)
    assert (row["kind"], row["attribute"], row["size"]) == ("cross-talk", "ethnicity", first["excess"])
    assert f"Cramer's V is {first['labels']:.2f} for the labels" in row["finding"]
