"""Truth of pairs, the choice of labels, and their scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facestats.demo.training.bart_card import draw_captions
from facestats.demo.training.nli import (
    CONTRADICTION,
    ENTAILMENT,
    NEUTRAL,
    Hypothesis,
    choose_options,
    evaluate,
    judge,
    read_hypotheses,
    score_labels,
)
from facestats.demo.writing.captions import Caption
from facestats.demo.writing.people import ATTRIBUTES, list_options

CONFIG = Path(__file__).parents[3] / "config" / "attributes.yaml"


@pytest.fixture(scope="module")
def hypotheses():
    return read_hypotheses(CONFIG)


@pytest.fixture(scope="module")
def captions():
    return draw_captions(300, seed=7)


def caption(said=None, denied=()):
    return Caption("", dict.fromkeys(ATTRIBUTES) | (said or {}), tuple(denied), "sentence", bool(denied))


def perfect(captions, hypotheses):
    """Logits of contradiction and entailment of a scorer that knows the truth."""
    truth = np.array([[judge(c, h) for h in hypotheses] for c in captions])
    return np.stack([truth == CONTRADICTION, truth == ENTAILMENT], axis=-1) * 6.0 - [2.0, 3.0]


def test_there_is_one_hypothesis_per_option_in_the_words_of_the_file(hypotheses):
    assert len(hypotheses) == sum(map(len, list_options().values())) == 47
    assert Hypothesis("hair_color", "black", "The person has black hair.") in hypotheses
    asked = read_hypotheses(CONFIG, questions=True)[47:]
    assert [(h.attribute, h.option) for h in asked] == [(name, None) for name in ATTRIBUTES]


def test_said_denied_and_open_options_are_judged():
    black, red = (Hypothesis("hair_color", o, "") for o in ("black", "red"))
    asked = Hypothesis("hair_color", None, "")
    for text, expected in (
        (caption(), (NEUTRAL, NEUTRAL, NEUTRAL)),
        (caption({"hair_color": "black"}), (ENTAILMENT, CONTRADICTION, ENTAILMENT)),
        (caption(denied=[("hair_color", "red")]), (NEUTRAL, CONTRADICTION, NEUTRAL)),
    ):
        assert tuple(judge(text, h) for h in (black, red, asked)) == expected


def test_each_caption_entails_exactly_what_it_says(captions, hypotheses):
    for text in captions:
        entailed = [h.attribute for h in hypotheses if judge(text, h) == ENTAILMENT]
        assert entailed == [name for name, option in text.said.items() if option is not None]


def test_a_perfect_scorer_scores_one(captions, hypotheses):
    scores = evaluate(lambda *_: perfect(captions, hypotheses), captions, hypotheses=hypotheses)
    assert set(scores) == {"all", "sentence", "tags", "tricky"}
    assert all(part["mean"] == {"macro_f1": 1.0, "accuracy": 1.0} for part in scores.values())


def test_a_scorer_that_never_entails_finds_only_what_is_open(captions, hypotheses):
    logits = np.zeros((len(captions), len(hypotheses), 2)) - [0.0, 1.0]
    scores = evaluate(lambda *_: logits, captions, hypotheses=hypotheses)["all"]
    for name in ATTRIBUTES:
        assert scores[name]["accuracy"] == pytest.approx(np.mean([c.said[name] is None for c in captions]))
        assert scores[name]["macro_f1"] < 0.3


def test_the_threshold_is_a_probability_against_contradiction():
    two = (Hypothesis("gender", "male", ""), Hypothesis("gender", "female", ""))
    logits = np.array([[[0.0, np.log(3.0)], [5.0, -5.0]]])  # three to one: 0.75
    assert choose_options(logits, two, threshold=0.74) == {"gender": ["male"]}
    assert choose_options(logits, two, threshold=0.76) == {"gender": [None]}


def test_macro_f1_is_the_mean_over_classes_that_occur():
    texts = [caption({"gender": g}) for g in ("male", "male", "female", None)]
    found = score_labels({"gender": ["male", "female", "female", None]}, texts)
    assert found["gender"]["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert found["gender"]["accuracy"] == 0.75
