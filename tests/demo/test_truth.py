"""The demo's labels against what was drawn and written: 200 held-out records through the real stages."""

import pytest
from demo_truth import score_captions

import facestats as fs
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


def test_picture_labels_match_what_was_drawn(held_out):
    _, _, scores = held_out
    assert scores["accuracy"].mean() >= 0.85, scores
    assert (scores["n"] >= 150).all()


def test_text_labels_match_what_was_written():
    scores = score_captions(fs.load_config(ROOT / "config/demo.yaml"), n=200, seed=70_001)
    assert scores["all"]["mean"]["macro_f1"] >= 0.90, scores["all"]
