"""The tiny BART reads pairs as BART does, and its short decoder gives what the whole one gives."""

from __future__ import annotations

import numpy as np
import pytest

from facestats.demo.training.bart_card import draw_captions, score_with

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

HYPOTHESES = ["The person has black hair.", "The person is bald."]


@pytest.fixture(scope="module")
def tokenizer():
    from facestats.demo.training.tiny_bart import build_tokenizer

    return build_tokenizer([c.text for c in draw_captions(300, seed=1, split="train")] + HYPOTHESES * 9)


@pytest.fixture(scope="module")
def model(tokenizer):
    from facestats.demo.training.tiny_bart import build_model

    return build_model(len(tokenizer), seed=0).eval()


def test_a_pair_is_joined_as_bart_joins_it(tokenizer):
    ids = tokenizer("Black hair", "The person is bald.")["input_ids"]
    assert (ids[0], ids[-1]) == (0, 2)
    assert [i for i, token in enumerate(ids) if token == 2] == [3, 4, len(ids) - 1]
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 4]) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def test_case_and_underscores_change_no_word(tokenizer):
    assert tokenizer.tokenize("BLACK Hair") == tokenizer.tokenize("black hair")
    assert [t for t in tokenizer.tokenize("black_hair") if t != "_"] == tokenizer.tokenize("black hair")


def test_labels_stand_where_bart_large_mnli_has_them(model):
    assert model.config.id2label == {0: "contradiction", 1: "neutral", 2: "entailment"}


def test_the_short_decoder_gives_the_logits_of_the_whole_model(tokenizer, model):
    from facestats.demo.training.tiny_bart import decode_end

    texts = [c.text for c in draw_captions(12, seed=2)]
    batch = tokenizer(texts, HYPOTHESES * 6, padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with torch.no_grad():
        whole = model(input_ids=ids, attention_mask=mask).logits
        states = model.model.encoder(ids, attention_mask=mask).last_hidden_state
        short, _, seen = decode_end(model, ids, states)
    assert torch.allclose(short, whole, atol=1e-5)
    assert torch.allclose(seen.sum(1), torch.ones_like(seen[:, 0]))


def test_scores_do_not_depend_on_the_company(tokenizer, model):
    texts = [c.text for c in draw_captions(30, seed=3)]
    score = score_with(model, tokenizer)
    together = score(texts, HYPOTHESES)
    assert together.shape == (30, 2, 2)
    assert np.abs(together[4] - score([texts[4]], HYPOTHESES)[0]).max() < 1e-4


@pytest.mark.slow
def test_one_step_of_training_changes_the_weights_and_saves_what_loads_again(tokenizer, tmp_path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from facestats.demo.training.nli import Hypothesis
    from facestats.demo.training.train_bart import _batches, _Learner, _save

    options = [
        Hypothesis("hair_color", "black", HYPOTHESES[0]),
        Hypothesis("hair_length", "bald", HYPOTHESES[1]),
    ]
    learner = _Learner(tokenizer, n_hypotheses=2, seed=0, rate=1e-3)
    before = [w.clone() for w in learner.weights.parameters()]
    batch = next(_batches(tokenizer, options, rng=np.random.default_rng(0), longest=24))
    losses = learner.learn(batch, progress=0.0)
    assert all(np.isfinite(losses))
    assert any(not torch.equal(a, b) for a, b in zip(before, learner.weights.parameters(), strict=True))
    _save(learner.weights[0], tokenizer, tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert model.dtype == torch.float16
    assert AutoTokenizer.from_pretrained(tmp_path)("a", "b") == tokenizer("a", "b")
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) < 8e6
