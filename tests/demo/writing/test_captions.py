"""Captions say what their record says, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from facestats.demo.writing import words
from facestats.demo.writing.captions import write_caption
from facestats.demo.writing.people import ATTRIBUTES, draw_record, list_options

CONFIG = Path(__file__).parents[3] / "config" / "attributes.yaml"


def draw(n, *, seed=0, kind=None, split="train"):
    rng = np.random.default_rng(seed)
    records = [draw_record(rng, split=split) for _ in range(n)]
    return records, [write_caption(record, rng, kind=kind, split=split) for record in records]


@pytest.fixture(scope="module")
def corpus():
    parts = [draw(1500, seed=i, split=split) for i, split in enumerate(("train", "eval"))]
    return [r for records, _ in parts for r in records], [c for _, captions in parts for c in captions]


def test_options_are_those_of_the_attribute_file():
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    assert {name: tuple(entry["options"]) for name, entry in config.items()} == list_options()


def test_the_same_seed_writes_the_same_captions():
    assert draw(50, seed=3) == draw(50, seed=3)
    assert draw(50, seed=3)[1] != draw(50, seed=4)[1]


def test_said_is_true_of_the_record_or_open(corpus):
    for record, caption in zip(*corpus, strict=True):
        assert list(caption.said) == list(ATTRIBUTES)
        assert all(option in (None, record[name]) for name, option in caption.said.items())
        assert all(record[name] not in (None, option) for name, option in caption.denied)


def test_every_option_is_said_and_left_open_in_both_kinds_and_splits():
    for split in ("train", "eval"):
        for kind in ("sentence", "tags"):
            _, captions = draw(1200, seed=5, kind=kind, split=split)
            for name, options in list_options().items():
                assert {caption.said[name] for caption in captions} == {None, *options}


def test_none_to_nine_attributes_are_mentioned(corpus):
    counts = np.bincount([sum(v is not None for v in c.said.values()) for c in corpus[1]], minlength=10)
    assert len(counts) == 10
    assert counts.min() > 0


def test_the_bald_have_no_hair_to_describe(corpus):
    bald = [c for r, c in zip(*corpus, strict=True) if r["hair_length"] == "bald"]
    assert bald
    assert all(c.said["hair_color"] is None and c.said["hair_style"] is None for c in bald)


@pytest.mark.parametrize("name", ["hair_color", "eye_color", "ethnicity"])
def test_plain_captions_hold_words_of_what_they_say(corpus, name):
    entries = {option: words.parse_phrases(entry) for option, entry in words.ADJECTIVES[name].items()}
    for caption in corpus[1]:
        option = caption.said[name]
        if option is None or option == "bald":
            continue
        text = caption.text.lower().replace("_", " ").replace("grey", "gray").replace("colour", "color")
        phrases = {p.lower() for group in entries[option].values() for p in group}
        assert any(p in text or p.replace("blonde", "blond") in text for p in phrases), (option, caption.text)


def test_gender_left_open_has_no_pronoun_of_a_gender(corpus):
    for caption in corpus[1]:
        if caption.said["gender"] is None and not caption.tricky:
            spoken = set(re.findall(r"[a-z]+", caption.text.lower().replace("boy or girl", "")))
            assert not spoken & {"he", "she", "his", "her", "him", "man", "woman", "boy", "girl"}, (
                caption.text
            )


def test_denials_carry_a_mark_of_negation_and_count_as_tricky(corpus):
    marks = re.compile(r"(\b|_)(not|no|without|rather than|instead of)(\b|_)|n't")
    denying = [c for c in corpus[1] if c.denied]
    assert {name for caption in denying for name, _ in caption.denied} == set(ATTRIBUTES)
    for caption in denying:
        assert caption.tricky
        assert marks.search(caption.text.lower()), caption.text


def test_plain_captions_deny_nothing(corpus):
    plain = [c for c in corpus[1] if not c.tricky]
    assert 0.4 < len(plain) / len(corpus[1]) < 0.7
    assert not any(f" {mark} " in f" {c.text.lower()} " for c in plain for mark in ("not", "without", "not_"))


def test_splits_share_no_combination_of_attributes():
    train, _ = draw(3000, seed=1)
    held_out, _ = draw(3000, seed=2, split="eval")
    assert not {tuple(r.values()) for r in train if None not in r.values()} & {
        tuple(r.values()) for r in held_out
    }


def test_evaluation_has_phrases_that_training_never_uses():
    train = " ".join(c.text.lower() for c in draw(3000, seed=1)[1])
    held_out = " ".join(c.text.lower() for c in draw(1500, seed=2, split="eval")[1])
    for phrase in ("coal-black", "honey-blonde", "sea-green", "officer's uniform", "low bun", "also"):
        assert phrase in held_out
        assert phrase not in train


def test_no_caption_comments_on_the_curves_of_a_minor(corpus):
    records, captions = corpus
    young = [c for r, c in zip(records, captions, strict=True) if r["age"] in {"child", "teen"}]
    assert all(c.said["body_type"] != "curvy" and ("body_type", "curvy") not in c.denied for c in young)


@pytest.mark.parametrize("wrong", [{"kind": "poem"}, {"split": "test"}])
def test_unknown_kinds_and_splits_are_refused(wrong):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="got"):
        write_caption(draw_record(rng), rng, **wrong)


def test_articles_agree(corpus):
    text = " ".join(c.text for c in corpus[1]).lower()
    for wrong in (" a elderly", " a asian", " an uniform", " an european", " a amber", " a 80", " a 18"):
        assert wrong not in text
