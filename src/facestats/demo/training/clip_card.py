"""Scores of the tiny CLIP and the model card that reports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.records import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CARD = """---
library_name: open_clip
tags: [clip, zero-shot-image-classification, demo]
---
# Tiny CLIP of the demo world

Understands the drawn characters of `facestats.demo` and nothing else: it exists so that the whole of facestats
runs and can be scored without downloading a model. Its labels are perceived attributes of drawings; it must not
be used on photographs, nor to say anything about a person.

- Loads as `open_clip.create_model_and_transforms("local-dir:FOLDER")`; standard CLIP tokenizer; half precision.
- Picture tower: open_clip's modified ResNet with one block a stage and width 16, from scratch, at 176 x 176
  pixels. Text tower: 2 layers of width 64.
- Data: {characters} drawn characters (seed 1, style "train"), each as aligned face and as whole picture, and
  captions written by the demo's grammar. No photograph and no pretrained weight was used.
- Loss: a softmax per attribute over the averaged vectors of the prompts in `config/attributes.yaml`, on the view
  that shows the attribute, plus 0.15 times a contrastive loss between whole pictures and captions.
- {made}

## Zero-shot accuracy on held-out characters

Seed 4242, style "eval": combinations of attributes, backdrops and ranges of light and distance that training never
drew; {scored}. 95 % intervals after Wilson (1927).

| attribute | accuracy | 95 % interval | characters | weakest option (recall) |
| --- | --- | --- | --- | --- |
{rows}
| mean of nine | {mean:.3f} | | | |

## Limits

One style of drawing; nine attributes with the options of the configuration; English prompts near the ones trained
on. What cannot be seen (the hair colour of the bald) is not scored, though the model still answers.
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
        """95 % interval of the share (Wilson, 1927)."""
        z, n, p = 1.959964, max(self.n, 1), self.accuracy
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return float(centre - half), float(centre + half)


def score_options(guesses: Mapping[str, np.ndarray], truth: np.ndarray) -> dict[str, Score]:
    """Score guesses against the truth, where it can be seen.

    Parameters
    ----------
    guesses
        Attribute to option numbers, shape (n,).
    truth
        Option numbers, -1 where unseen, shape (n, 9).

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


def write_card(path: Path, scores: Mapping[str, Score], *, characters: int, made: str, scored: str) -> None:
    """Write the model card with the scores per attribute.

    Parameters
    ----------
    path
        README.md beside the weights.
    scores
        As `score_options` gives them.
    characters
        Characters trained on.
    made
        How it was trained: the command, passes and minutes.
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
    text = CARD.format(rows="\n".join(rows), mean=mean, characters=characters, made=made, scored=scored)
    path.write_text(text, encoding="utf-8")
