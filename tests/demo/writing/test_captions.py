"""Captions say what their record says; raters follow the truth they were given."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from facestats.demo.raters import score_characters, simulate_ratings
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


# --- raters


def people(n):
    rng = np.random.default_rng(0)
    return [draw_record(rng) for _ in range(n)]


def test_ratings_are_whole_points_of_the_scale_and_repeatable():
    records = people(40)
    first, second = (simulate_ratings(records, seed=1, share=0.5) for _ in range(2))
    assert set(first.rating) <= set(range(1, 8))
    assert np.array_equal(first.rating, second.rating)
    assert 0.4 < len(first.rating) / (40 * 12) < 0.6


def test_more_raters_change_no_score():
    records = people(40)
    few, many = (simulate_ratings(records, seed=1, n_raters=n) for n in (5, 50))
    assert np.array_equal(few.score, many.score)
    assert np.array_equal(few.bias, many.bias[:5])


def test_rater_effects_come_back_from_unrounded_ratings():
    found = simulate_ratings(people(600), seed=4, n_raters=8, rounded=False)
    table = found.rating.reshape(600, 8)
    for j in range(8):
        slope, level = np.polyfit(found.score - 4.0, table[:, j], 1)
        assert slope == pytest.approx(found.slope[j], abs=0.15)
        assert level - 4.0 == pytest.approx(found.bias[j], abs=0.15)
    residual = table - 4.0 - found.bias - found.slope * (found.score[:, None] - 4.0)
    assert residual.std() == pytest.approx(found.noise_sd, rel=0.05)


def test_mean_ratings_approach_the_true_order_as_raters_grow():
    records = people(300)
    found = {n: simulate_ratings(records, seed=2, n_raters=n) for n in (2, 60)}
    r = {n: np.corrcoef(f.rating.reshape(300, n).mean(1), f.score)[0, 1] for n, f in found.items()}
    assert r[2] < r[60]
    assert r[60] > 0.97


def test_scores_depend_on_what_is_seen_and_on_the_character_alone():
    plain = dict.fromkeys(ATTRIBUTES)
    fancy = plain | {"hair_color": "colorful", "dress": "fantasy"}
    gap = score_characters([fancy], seed=1) - score_characters([plain], seed=1)
    assert gap[0] > 0.5
    everyone = [
        plain | {"gender": g, "ethnicity": e} for g in ("male", "female") for e in ("Asian", "African")
    ]
    assert np.ptp(score_characters(everyone, seed=1, own_sd=0.0)) == 0.0


@pytest.mark.parametrize("wrong", [{"n_raters": 0}, {"share": 1.5}])
def test_impossible_rater_panels_are_refused(wrong):
    with pytest.raises(ValueError, match="n_raters must be"):
        simulate_ratings(people(2), seed=0, **wrong)
