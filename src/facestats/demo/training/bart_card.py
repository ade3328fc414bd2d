"""The model card of the tiny BART: held-out captions, a scorer and the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.training.nli import (
    CONTRADICTION,
    ENTAILMENT,
    Hypothesis,
    choose_options,
    evaluate,
    read_hypotheses,
    score_labels,
)
from facestats.demo.writing.captions import Caption, write_caption
from facestats.demo.writing.people import draw_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import torch
    from transformers import PreTrainedTokenizerFast

EVAL_SEED = 1_000_003
_CARD = """---
library_name: transformers
license: mit
tags: [bart, zero-shot-classification, nli, demo]
---
# Tiny BART of the demo

Reads what a caption of the demo says about a person, and what it does not say. With it, all of facestats runs and can
be scored without downloading a model. It knows the words of `facestats.demo.writing.words` and few others: for real
captions use a model trained on MNLI.

- `BartForSequenceClassification`, {parameters:,} weights in half precision: width {width}, {encoder} encoder layers, {decoder} decoder layer,
  trained from scratch; {vocabulary} WordPieces in lower case; at most {tokens} tokens for text and hypothesis together.
- Labels as in `facebook/bart-large-mnli`: 0 contradiction, 1 neutral, 2 entailment. Premise: the caption. Hypotheses:
  those of `config/attributes.yaml`.
- Data: new captions of the demo grammar in every batch; no text by a person and no pretrained weights were used.
- Loss: cross-entropy of the three labels, and of entailment against contradiction alone. In training, auxiliary heads
  predict all that a caption says from the encoder, and two cross-attention heads learn the attention of these heads.
- Command: `python -m facestats.demo.training.train_bart --out FOLDER --seed {seed} --pairs {pairs}`; {pairs:,} pairs of caption
  and hypothesis, about half an hour of one core. The scores: the same command with `--card`.

## Scores on {n} held-out captions

Seed {eval_seed}, split "eval": combinations of attributes, phrases and frames that training never used. A label is the
option with the largest entailment logit, if the softmax of its entailment against its contradiction is at least 0.5, else
"not said". Macro-F1 over the options of an attribute and "not said"; 95 % intervals from 500 bootstrap samples of captions.

| macro-F1 | all | sentences | tags | tricky |
| --- | --- | --- | --- | --- |
{rows}

Tricky captions ({tricky} of {n}) have negations ("not blonde", "no beard"), other people ("next to her stands an old man
with red hair") or attribute words that describe things ("a green scarf").

## Domain

`domain/domain.json` states that the model knows captions of drawn characters only; every answer of it says so. Texts unlike
them are not found by a measurement.

## Limits

English of one grammar, with few unknown words; long texts must be cut into windows. The labels are perceived attributes
of drawn characters, never facts about a person. On texts unlike its own, the model is certain even when it is wrong.
"""


def draw_captions(n: int, *, seed: int, split: str = "eval") -> list[Caption]:
    """Write `n` captions about `n` characters, half of them sentences, half tag lists."""
    rng = np.random.default_rng([seed, split == "eval"])
    return [
        write_caption(draw_record(rng, split=split), rng, kind=("sentence", "tags")[i % 2], split=split)
        for i in range(n)
    ]


def score_with(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast
) -> Callable[[list[str], list[str]], np.ndarray]:
    """Return a scorer for `evaluate` that runs the model in its own precision, with pairs sorted by length."""
    import torch

    def score(texts: list[str], hypotheses: list[str]) -> np.ndarray:
        firsts, seconds = [t for t in texts for _ in hypotheses], hypotheses * len(texts)
        ids = tokenizer(firsts, seconds, truncation="only_first")["input_ids"]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        logits = np.empty((len(ids), 2), np.float32)
        for start in range(0, len(order), 256):
            rows = order[start : start + 256]
            batch = tokenizer.pad({"input_ids": [ids[i] for i in rows]}, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                found = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            logits[rows] = found[:, [CONTRADICTION, ENTAILMENT]].float().cpu().numpy()
        return logits.reshape(len(texts), len(hypotheses), 2)

    return score


def write_card(out: Path, *, attributes: Path, seed: int, n_pairs: int, n: int = 1000) -> None:
    """Score a trained folder on held-out captions and write its README.md.

    Parameters
    ----------
    out
        Folder with weights and tokenizer.
    attributes
        The attribute file with the hypotheses.
    seed, n_pairs
        Arguments of the training.
    n
        Number of captions.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    hypotheses = read_hypotheses(attributes)
    tokenizer = AutoTokenizer.from_pretrained(out)
    model = AutoModelForSequenceClassification.from_pretrained(out, dtype=torch.float32).eval()
    captions = draw_captions(n, seed=EVAL_SEED)
    logits = score_with(model, tokenizer)([c.text for c in captions], [h.text for h in hypotheses])
    scores = evaluate(lambda *_: logits, captions, hypotheses=hypotheses)
    rows = [
        f"| {name} | " + " | ".join(f"{part[name]['macro_f1']:.3f}" for part in scores.values()) + " |"
        for name in scores["all"]
    ]
    intervals = _intervals(logits, captions, hypotheses=hypotheses)
    rows.append(
        "| 95 % interval of the mean | " + " | ".join("{:.3f} to {:.3f}".format(*i) for i in intervals) + " |"
    )
    card = _CARD.format(
        parameters=sum(p.numel() for p in model.parameters()),
        width=model.config.d_model,
        encoder=model.config.encoder_layers,
        decoder=model.config.decoder_layers,
        vocabulary=len(tokenizer),
        tokens=tokenizer.model_max_length,
        seed=seed,
        pairs=n_pairs,
        n=n,
        eval_seed=EVAL_SEED,
        rows="\n".join(rows),
        tricky=sum(c.tricky for c in captions),
    )
    (out / "README.md").write_text(card, encoding="utf-8")


def _intervals(
    logits: np.ndarray, captions: Sequence[Caption], *, hypotheses: Sequence[Hypothesis]
) -> list[tuple[float, float]]:
    """Return bootstrap intervals of the mean macro-F1: all, sentences, tags, tricky."""
    labels = choose_options(logits, hypotheses)
    rng = np.random.default_rng(0)
    found = []
    for kept in (
        [True for _ in captions],
        [c.kind == "sentence" for c in captions],
        [c.kind == "tags" for c in captions],
        [c.tricky for c in captions],
    ):
        rows = np.flatnonzero(kept)
        means = []
        for _ in range(500):
            drawn = rng.choice(rows, len(rows))
            sample = {name: [values[i] for i in drawn] for name, values in labels.items()}
            means.append(score_labels(sample, [captions[i] for i in drawn])["mean"]["macro_f1"])
        found.append(tuple(np.quantile(means, (0.025, 0.975))))
    return found
