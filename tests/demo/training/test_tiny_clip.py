"""The tiny CLIP's parts: scores, intervals, prompts, and weights that open_clip loads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facestats.demo.records import OPTIONS, sample_records
from facestats.demo.training import train_clip
from facestats.demo.training.clip_card import Score, score_options, write_card
from facestats.demo.training.tiny_clip import (
    Anchors,
    build_model,
    encode_tokens,
    encode_truth,
    evaluate,
    read_prompts,
    save_model,
)
from facestats.demo.training.train_clip import Trainer, augment

ATTRIBUTES = Path(__file__).resolve().parents[3] / "config" / "attributes.yaml"


@pytest.fixture(scope="module")
def built():
    import torch

    torch.manual_seed(0)
    return build_model("cpu")


def test_truth_numbers_options_and_marks_the_unseen():
    records = sample_records(60, seed=1)
    truth = encode_truth(records)
    for record, row in zip(records, truth, strict=True):
        for (name, options), k in zip(OPTIONS.items(), row, strict=True):
            assert record[name] == (options[k] if k >= 0 else None)


def test_perfect_guesses_score_one_and_skip_the_unseen():
    truth = encode_truth(sample_records(80, seed=2))
    scores = score_options({name: np.abs(truth[:, k]) for k, name in enumerate(OPTIONS)}, truth)
    assert all(score.accuracy == 1 for score in scores.values())
    assert scores["hair_color"].n == (truth[:, list(OPTIONS).index("hair_color")] >= 0).sum() < 80


def test_wilson_interval_matches_published_value():
    # 81 of 263: 0.2553 to 0.3662 (Newcombe, 1998, Statistics in Medicine 17:857-872, table I, method 3)
    low, high = Score(81, 263, np.zeros((2, 2))).interval
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_card_names_every_attribute(tmp_path):
    truth = encode_truth(sample_records(30, seed=3))
    scores = score_options({name: np.abs(truth[:, k]) for k, name in enumerate(OPTIONS)}, truth)
    write_card(tmp_path / "README.md", scores, characters=10, made="By hand.", seed=77, scored="by eye")
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "Seed 77, style" in text
    assert all(f"| {name} | 1.000 |" in text for name in OPTIONS)


def test_trimmed_text_gives_the_vectors_of_the_whole(built):
    import torch

    model, tokenizer = built
    model.eval()
    tokens = tokenizer(["a man", "someone whose eyes are hazel, between brown and green"])
    with torch.inference_mode():
        torch.testing.assert_close(
            encode_tokens(model, tokens), model.encode_text(tokens, normalize=True), atol=1e-5, rtol=1e-4
        )


def test_saved_model_loads_through_open_clip_and_agrees(built, tmp_path):
    import open_clip
    import torch

    model, tokenizer = built
    model.eval()
    save_model(model, tmp_path)
    loaded, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path}")
    assert (
        open_clip.get_tokenizer(f"local-dir:{tmp_path}")(["a man"]).tolist() == tokenizer(["a man"]).tolist()
    )
    assert "size=176" in str(preprocess)
    with torch.inference_mode():
        pixels = torch.rand(2, 3, 176, 176, generator=torch.Generator().manual_seed(1))
        torch.testing.assert_close(
            loaded.eval().encode_image(pixels, normalize=True),
            model.encode_image(pixels, normalize=True),
            atol=2e-2,
            rtol=2e-2,
        )


def test_every_attribute_is_labelled_with_one_of_its_options(built):
    model, tokenizer = built
    prompts = read_prompts(ATTRIBUTES)
    views = {view: np.zeros((3, 176, 176, 3), np.uint8) for view in ("face", "full")}
    guesses = evaluate(model, Anchors(prompts, tokenizer, device="cpu"), views, device="cpu")
    for name, options in OPTIONS.items():
        assert guesses[name].shape == (3,)
        assert guesses[name].max() < len(options)


def test_augmentation_keeps_color():
    images = np.full((4, 176, 176, 3), (180, 90, 40), np.uint8)
    x = augment(images, rng=np.random.default_rng(0))
    assert x.shape == (4, 3, 176, 176)
    assert (x[:, 0].mean((1, 2)) > x[:, 2].mean((1, 2))).all()


@pytest.mark.slow
def test_a_training_step_moves_the_model_and_keeps_its_average_finite(monkeypatch):
    import torch

    n = 8
    monkeypatch.setattr(train_clip, "BATCH", n)

    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    views = [rng.integers(0, 255, (n, 2, 176, 176, 3), np.uint8) for _ in range(2)]
    data = (*views, sample_records(n, seed=4))
    built = build_model("cpu")
    before = built[0].text_projection.detach().clone()
    trainer = Trainer(data, read_prompts(ATTRIBUTES), built=built, steps=1, minutes=5.0, rate=1e-3)
    assert np.isfinite(trainer.run_epoch())
    assert trainer.progress >= 1
    assert not torch.equal(before, trainer.model.text_projection)
    with torch.inference_mode():
        options = trainer.anchors.encode(trainer.averaged().eval())
    assert all(torch.isfinite(vectors).all() for vectors in options.values())
