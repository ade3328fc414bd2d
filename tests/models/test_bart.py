from __future__ import annotations

import logging
import pickle

import numpy as np
import pytest

from facestats.core.config import TextLabelsSettings
from facestats.core.protocols import ModelError
from facestats.models.bart import bart

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TEXT = "the person has is a an old young red black hair man woman with and very long . , smiling"
WORDS = TEXT.split()
LABELS = {"contradiction": 0, "neutral": 1, "entailment": 2}
TEXTS = [
    "a man with red hair",
    "an old woman",
    "a very very very old man with long black hair , smiling",
    "hair",
]
HYPOTHESES = ["the person has red hair .", "the person is old .", "the person is a woman ."]


def save_tokenizer(folder, positions):
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    names = ["<s>", "<pad>", "</s>", "<unk>", *WORDS]
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    marks = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>"}
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", pad_token="<pad>", model_max_length=positions, **marks
    )
    fast.save_pretrained(folder)


def save_bart(folder, *, seed=0, labels=None, positions=64, safe=True):
    labels = labels or LABELS
    torch.manual_seed(seed)
    config = transformers.BartConfig(
        vocab_size=len(WORDS) + 4,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=positions,
        num_labels=len(labels),
        label2id=labels,
        id2label={i: name for name, i in labels.items()},
        init_std=0.4,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    model = transformers.BartForSequenceClassification(config)
    model.save_pretrained(folder)
    if not safe:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    save_tokenizer(folder, positions)
    return folder


def handle(folder, **options):
    return bart(TextLabelsSettings(model=str(folder), **{"precision": "fp32", "device": "cpu", **options}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_bart(tmp_path_factory.mktemp("bart"))


@pytest.fixture(scope="module")
def classifier(folder):
    return handle(folder)


def one_by_one(folder, texts, hypotheses):
    model = transformers.BartForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        rows = [
            [model(**tokenizer(t, h, return_tensors="pt")).logits[0, [0, 2]] for h in hypotheses]
            for t in texts
        ]
    return np.array([[v.numpy() for v in row] for row in rows])


@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_logits_are_those_of_each_pair_alone_in_input_order(folder, batch_size):
    # stated tolerance: 1e-4 in logits, fp32, whatever the batch
    ours = handle(folder, batch_size=batch_size).score(TEXTS, HYPOTHESES)
    assert ours.dtype == np.float32
    assert ours.shape == (4, 3, 2)
    assert np.abs(ours - one_by_one(folder, TEXTS, HYPOTHESES)).max() < 1e-4


def test_repeats_and_order_change_nothing(classifier):
    whole = classifier.score(TEXTS, HYPOTHESES)
    order = [3, 0, 0, 2, 1, 3]
    again = classifier.score([TEXTS[i] for i in order], HYPOTHESES[::-1] + HYPOTHESES[:1])
    assert np.array_equal(again, whole[order][:, [2, 1, 0, 0]])


@pytest.mark.parametrize(("texts", "hypotheses"), [([], HYPOTHESES), (TEXTS, []), ([], [])])
def test_nothing_to_score_is_empty(classifier, texts, hypotheses):
    assert classifier.score(texts, hypotheses).shape == (len(texts), len(hypotheses), 2)


def test_labels_are_found_by_name_wherever_they_stand(tmp_path, classifier):
    turned = save_bart(tmp_path / "turned", labels={"ENTAILMENT": 0, "Neutral": 1, "CONTRADICTION": 2})
    assert np.array_equal(
        handle(turned).score(TEXTS, HYPOTHESES), classifier.score(TEXTS, HYPOTHESES)[..., ::-1]
    )
    two = save_bart(tmp_path / "two", labels={"entailment": 0, "not_entailment": 1})
    assert handle(two).score(TEXTS, HYPOTHESES).shape == (4, 3, 2)


def test_a_model_without_nli_labels_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"POSITIVE.*contradiction"):
        handle(save_bart(tmp_path, labels={"NEGATIVE": 0, "POSITIVE": 1})).score(TEXTS, HYPOTHESES)


def test_bf16_stays_close_to_fp32(folder, classifier):
    exact = classifier.score(TEXTS, HYPOTHESES)
    half = handle(folder, precision="bf16").score(TEXTS, HYPOTHESES)
    assert np.abs(half - exact).max() < 0.05 * np.abs(exact).max()


def test_a_long_text_is_read_in_windows_and_none_of_it_is_lost(tmp_path, caplog):
    long = handle(save_bart(tmp_path), window_tokens=8)
    parts = ["a man with red hair .", "an old woman , smiling .", "very very very long hair ."]
    with caplog.at_level(logging.INFO):
        whole = long.score([" ".join(parts), "hair"], HYPOTHESES)
    alone = long.score(parts, HYPOTHESES)
    best = (alone[..., 1] - alone[..., 0]).argmax(axis=0)
    assert np.abs(whole[0] - alone[best, np.arange(3)]).max() < 1e-4
    assert "1 texts are longer than 8 tokens" in caplog.text


def test_windows_leave_room_for_the_hypothesis(tmp_path):
    short = handle(save_bart(tmp_path, positions=16))
    assert np.isfinite(short.score(["red " * 100, "red"], HYPOTHESES)).all()
    with pytest.raises(ModelError, match="leaves no room"):
        short.score(["red"], ["the person has red hair " * 3])


@pytest.mark.parametrize("text", ["", " ", "\0", "🎉" * 1000, "<s></s><pad>", "{}", "a\u202eb"])
def test_any_text_is_only_data(classifier, text):
    assert np.isfinite(classifier.score([text], HYPOTHESES)).all()


def test_the_name_tells_weights_and_precision_apart(folder, tmp_path):
    same, other = save_bart(tmp_path / "same"), save_bart(tmp_path / "other", seed=1)
    revision = [handle(f).name.split("@")[1] for f in (folder, same, other)]
    assert revision[0] == revision[1] != revision[2]
    assert handle(folder, precision="bf16").name != handle(folder).name
    assert handle(folder, window_tokens=64).name != handle(folder).name


def test_the_repr_is_short_and_loads_nothing(folder):
    one = handle(folder, device="auto")
    assert repr(one) == f"Bart(model={str(folder)!r}, device='auto', loaded=False)"
    assert one._source is None
    used = handle(folder)
    used.score(TEXTS[:1], HYPOTHESES)
    assert repr(used) == f"Bart(model={str(folder)!r}, device='cpu', loaded=True)"


def test_a_handle_pickles_small_even_after_use(classifier):
    expected = classifier.score(TEXTS[:1], HYPOTHESES)
    data = pickle.dumps(classifier)
    assert len(data) < 2000
    assert np.array_equal(pickle.loads(data).score(TEXTS[:1], HYPOTHESES), expected)


def test_pickled_weights_are_not_read(tmp_path):
    with pytest.raises(ModelError, match="safetensors"):
        handle(save_bart(tmp_path, safe=False)).score(TEXTS, HYPOTHESES)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    file = save_bart(tmp_path) / "model.safetensors"
    tensors = load_file(file)
    tensors["classification_head.dense.bias"][0] = float("inf")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"classification_head\.dense\.bias"):
        handle(tmp_path).score(TEXTS, HYPOTHESES)


def test_code_in_a_model_folder_is_never_run(tmp_path):
    import json

    config = json.loads((save_bart(tmp_path) / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.Own", "AutoModelForSequenceClassification": "own.Own"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'canary')!r}).touch()")
    with pytest.raises(ModelError):
        handle(tmp_path).score(TEXTS, HYPOTHESES)
    assert not (tmp_path / "canary").exists()


def test_offline_the_error_comes_at_once_and_helps(tmp_path, monkeypatch):
    import time

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    start = time.perf_counter()
    with pytest.raises(ModelError, match="hf download facebook/bart-large-mnli"):
        _ = bart(TextLabelsSettings()).name
    assert time.perf_counter() - start < 5
