import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.audit.confusion import effective_size, score_pairs
from facestats.audit.person_tests import PersonTest, mean_interval
from facestats.core.groups import person_codes
from facestats.core.vectors import first_near_duplicate


def test_two_faces_cannot_be_very_surprising():
    """Two faces with equal scores: Welch's t, whose variance is then nearly 0, gave p = 3e-5."""
    values = np.concatenate([[0.5, 0.5], np.full(35, 0.79)])
    values[2:] += np.random.default_rng(0).normal(0, 0.1, 35)
    p = PersonTest(values, np.arange(37), seed=0).p(np.arange(37) < 2)
    assert p >= 1 / 666 / 3  # two of 37 can be chosen in 666 ways
    assert PersonTest(np.full(37, 0.5), np.arange(37), seed=0).p(np.arange(37) < 2) == 1


def test_pictures_of_a_person_are_one_observation():
    rng = np.random.default_rng(0)
    values = np.repeat(rng.random(16), 5)
    persons, mask = np.repeat(np.arange(16), 5), np.repeat(np.arange(16) < 8, 5)
    together = PersonTest(values, persons, seed=0).p(mask)
    assert together == pytest.approx(PersonTest(values[::5], np.arange(16), seed=0).p(mask[::5]))
    assert PersonTest(values, np.arange(80), seed=0).p(mask) < together


def test_a_group_without_others_has_no_test():
    assert np.isnan(PersonTest(np.ones(3), np.arange(3), seed=0).p(np.ones(3, dtype=bool)))
    assert np.isnan(PersonTest(np.array([np.nan, 1]), np.arange(2), seed=0).p(np.array([True, False])))


def test_copies_of_a_face_tell_nothing_more():
    correct = np.repeat(np.random.default_rng(0).random(40) < 0.7, 5)
    assert effective_size(correct, np.arange(200)) == 200
    assert 30 < effective_size(correct, np.repeat(np.arange(40), 5)) <= 41
    assert effective_size(np.ones(10, dtype=bool), np.repeat(np.arange(2), 5)) == 2
    assert effective_size(correct, np.zeros(200, dtype=int)) == 1


def test_a_mean_of_copies_has_the_interval_of_the_persons():
    values = np.random.default_rng(0).random(20)
    one = mean_interval(values, np.arange(20))
    assert mean_interval(np.repeat(values, 4), np.repeat(np.arange(20), 4)) == pytest.approx(one)
    _, low, high = mean_interval(np.ones(5), np.arange(5))
    assert (0.5 < low < 0.7) & (high == 1)


def test_an_option_of_which_all_faces_are_correct_is_not_certain():
    counts = np.array([[90, 0, 0, 0], [0, 7, 0, 0], [2, 0, 1, 0]])
    found = score_pairs(counts)["balanced_accuracy"]
    assert found.value == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert found.low < 0.65
    assert found.high < 1


def test_persons_are_numbered_and_unnamed_pictures_show_one_each():
    people = pl.DataFrame({"image_id": ["a", "b", "c"], "person": ["x", "x", None]})
    codes = person_codes(pl.Series(["a", "b", "c", "d"]), people)
    assert codes[0] == codes[1]
    assert len(set(codes.tolist())) == 3
    assert person_codes(pl.Series(["a", "b"]), None).tolist() == [0, 1]


def test_a_slow_change_does_not_join_its_ends():
    angle = np.linspace(0, np.pi / 2, 201)
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    group = first_near_duplicate(vectors, 0.98)
    assert len(np.unique(group)) > 5
    for g in np.unique(group):
        assert (vectors[group == g] @ vectors[g]).min() >= 0.98 - 1e-6


def test_near_duplicates_are_found_across_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 16)).astype(np.float32)
    vectors[30:] = vectors[:30]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    monkeypatch.setattr("facestats.core.vectors.PAIR_BLOCK", 7)
    assert first_near_duplicate(vectors, 0.98).tolist() == [*range(30), *range(30)]


def test_an_audit_counts_persons():
    project = fs.testing.example_project()
    people = project.faces.select("image_id", person=pl.lit("one person"))
    given = (project.master, project.attributes, project.truth)
    alone = fs.audit.accuracy(*given, by=["age"]).filter(by="all", attribute="age", source="text")
    together = fs.audit.accuracy(*given, by=["age"], people=people).filter(
        by="all", attribute="age", source="text"
    )
    assert together["accuracy"].item() == alone["accuracy"].item()
    assert together["accuracy_low"].item() < alone["accuracy_low"].item()
