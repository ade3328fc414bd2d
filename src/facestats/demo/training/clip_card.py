"""The model card of the tiny CLIP, and the scores in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facestats.core.stats import wilson_interval
from facestats.demo.records import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CARD = """---
library_name: open_clip
tags: [clip, zero-shot-image-classification, demo]
---
# Tiny CLIP of the demo

Encodes the drawn characters of `facestats.demo` and nothing else. With it, all of facestats runs and can be
scored without downloading a model. Its labels are perceived attributes of drawings: do not use it on photographs,
nor to say anything about a person.

- Loads as `open_clip.create_model_and_transforms("local-dir:FOLDER")`; standard CLIP tokenizer; half precision.
- Picture tower: open_clip's modified ResNet with one block a stage and width 16, from scratch, at 176 x 176
  pixels. Text tower: 2 layers of width 64.
- Data: {characters} drawn characters (seed 1, style "train"), each as aligned face and as whole picture, and
  captions written by the demo's grammar. No photograph and no pretrained weights were used.
- Loss: a softmax per attribute over the averaged vectors of the prompts in `config/attributes.yaml`, on the view
  that shows the attribute, plus 0.15 times a contrastive loss between whole pictures and captions.
- {made}

## Zero-shot accuracy on held-out characters

Seed {seed}, style "eval": combinations of attributes, backdrops and ranges of light and distance that never occurred in
training; {scored}. 95 % intervals by Wilson (1927).

| attribute | accuracy | 95 % interval | characters | weakest option (recall) |
| --- | --- | --- | --- | --- |
{rows}
| mean of nine | {mean:.3f} | | | |

## Domain

`domain/` states that the model knows drawn characters only, and holds the mean and covariance of their vectors, by which
pictures unlike them are found: after a training, run `python benchmarks/demo_domain.py --out FOLDER --write`.

## Limits

One style of drawing; nine attributes with the options of the configuration; English prompts similar to those of the
training. What cannot be seen (such as the hair colour of bald characters) is not scored, but the model labels it too.
"""


@dataclass(frozen=True)
class Score:
    """Accuracy on one attribute: hits of n, its 95 % interval, and the confusion counts (truth, guess)."""

    hits: int
    n: int
    confusion: np.ndarray

    @property
    def accuracy(self) -> float:
        """Share of hits."""
        return self.hits / max(self.n, 1)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share (Wilson 1927)."""
        low, high = wilson_interval(np.array([self.hits]), np.array([self.n]))
        return float(low[0]), float(high[0])


def score_options(guesses: Mapping[str, np.ndarray], truth: np.ndarray) -> dict[str, Score]:
    """Score guesses against the truth, leaving out what cannot be seen.

    Parameters
    ----------
    guesses
        Attribute to option numbers, shape (n,).
    truth
        Option numbers, -1 for options that cannot be seen, shape (n, 9).

    Returns
    -------
    dict
        Attribute to its score.
    """
    scores = {}
    for k, (name, options) in enumerate(OPTIONS.items()):
        seen = truth[:, k] >= 0
        confusion = np.zeros((len(options), len(options)), np.int64)
        np.add.at(confusion, (truth[seen, k], guesses[name][seen]), 1)
        scores[name] = Score(int(np.trace(confusion)), int(seen.sum()), confusion)
    return scores


def write_card(
    path: Path, scores: Mapping[str, Score], *, characters: int, made: str, seed: int, scored: str
) -> None:
    """Write the model card with the scores per attribute.

    Parameters
    ----------
    path
        README.md beside the weights.
    scores
        As from `score_options`.
    characters
        Number of characters in the training.
    made
        How the model was trained: command, passes and minutes.
    seed
        Seed of the held-out characters.
    scored
        How faces were found for the scores.
    """
    rows = []
    for name, score in scores.items():
        recall = np.diag(score.confusion) / np.maximum(score.confusion.sum(1), 1)
        worst = int(recall.argmin())
        low, high = score.interval
        rows.append(
            f"| {name} | {score.accuracy:.3f} | {low:.3f} to {high:.3f} | {score.n} |"
            f" {OPTIONS[name][worst]} ({recall[worst]:.2f}) |"
        )
    mean = float(np.mean([score.accuracy for score in scores.values()]))
    text = CARD.format(
        rows="\n".join(rows), mean=mean, characters=characters, made=made, seed=seed, scored=scored
    )
    path.write_text(text, encoding="utf-8")
