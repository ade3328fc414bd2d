import polars as pl
import pytest

import facestats as fs
from facestats.audit.prompts import CachedTextEncoder
from tests.audit.conftest import ATTRIBUTES, N, Words, alarms_on_card, findings_of, with_phrases

HAIR = {"hair_color": ATTRIBUTES["hair_color"]}


def test_every_wording_is_left_out_once(embeddings):
    found = fs.audit.prompts(embeddings, HAIR, Words())
    assert found.select("kind", "option", "prompt").rows() == [
        ("template", None, "a {}."),
        ("template", None, "the {}."),
        *(("phrase", o, f"{o} {i}") for o in ("black", "brown", "red") for i in ("one", "two")),
    ]
    assert found["n"].to_list() == [N] * 8
    assert found["low"].le(found["flips"]).all()
    assert found["high"].ge(found["flips"]).all()


def test_flips_are_the_share_of_labels_that_change(embeddings):
    found = fs.audit.prompts(embeddings, HAIR, Words())
    usual = fs.label_attributes(embeddings, Words(), HAIR)["hair_color"]
    without = fs.label_attributes(embeddings, Words(), with_phrases("black", ("black two",)))["hair_color"]
    row = found.row(2, named=True)
    assert row["prompt"] == "black one"
    assert row["flips"] == pytest.approx((usual != without).mean())


def test_sound_prompts_are_neither_astray_nor_nonsense(embeddings):
    found = fs.audit.prompts(embeddings, HAIR, Words()).filter(kind="phrase")
    assert found["astray"].to_list() == found["nonsense"].to_list() == [False] * 6
    assert found["meaning"].min() > 1.5


def test_a_prompt_made_nonsense_is_found(world, embeddings, config):
    found = fs.audit.prompts(embeddings, with_phrases("brown", ("brown one", "blorp zxqv")), Words())
    assert "blorp zxqv" in found.filter("astray")["prompt"].to_list()
    row = found.row(by_predicate=pl.col("prompt") == "blorp zxqv", named=True)
    lines = alarms_on_card(config, findings_of(*world, prompts=found))
    assert (
        "- **alarm**: Prompt astray: the phrase 'blorp zxqv' of hair color, option brown, lies nearer to another option"
        f" than to the other phrases of its own option. Without it, {row['flips']:.0%} of 600 labels change."
    ) in lines


def test_an_option_of_nonsense_alone_is_found_at_the_top(world, embeddings, config):
    """No other phrase of its own could contradict it."""
    found = fs.audit.prompts(embeddings, with_phrases("brown", ("qqq",)), Words())
    assert found.filter("nonsense")["prompt"].to_list() == ["qqq"]
    assert found.filter(prompt="qqq").select("n", "flips", "low", "high", "astray").row(0) == (
        0,
        *[None] * 4,
    )
    assert found.filter(prompt="qqq")["meaning"][0] < 1.5
    lines = alarms_on_card(config, findings_of(*world, prompts=found))
    assert lines[0] == (
        "- **alarm**: Nonsense prompt: the phrase 'qqq' of hair color, option brown, means no more to the model than"
        " random letters. Check its spelling, or use other words."
    )
    bars = [t.get_text() for t in fs.plots.flip_bars(found).get_yticklabels()]
    assert len(bars) == found["flips"].count() == 6
    assert not any("qqq" in bar for bar in bars)


def test_a_cached_encoder_encodes_each_text_once():
    calls = []

    class Counted(Words):
        def encode_texts(self, texts):
            calls.append(list(texts))
            return super().encode_texts(texts)

    cached = CachedTextEncoder(Counted())
    first = cached.encode_texts(["black", "red", "black"])
    assert (first == Words().encode_texts(["black", "red", "black"])).all()
    assert (cached.encode_texts(["red", "brown"]) == Words().encode_texts(["red", "brown"])).all()
    assert calls == [["black", "red"], ["brown"]]
    assert cached.logit_scale == 20
    assert repr(cached) == "CachedTextEncoder('words@1', 3 texts)"
