"""Natural language inference on captions: hypotheses from the attribute file, their truth, and scores of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from facestats.demo.writing.captions import Caption

CONTRADICTION, NEUTRAL, ENTAILMENT = 0, 1, 2


@dataclass(frozen=True)
class Hypothesis:
    """A sentence that a text may entail: its attribute, its option (None: is the attribute said at all?) and its text."""

    attribute: str
    option: str | None
    text: str


def read_hypotheses(path: Path, *, questions: bool = False) -> tuple[Hypothesis, ...]:
    """Read one hypothesis per option from an attribute file: the first text template with the first text phrase.

    Parameters
    ----------
    path
        `config/attributes.yaml` or a file of the same form.
    questions
        Whether the `text_question` of each attribute follows after all options.

    Returns
    -------
    tuple of Hypothesis
        In the order of the file.
    """
    import yaml

    attributes = yaml.safe_load(path.read_text(encoding="utf-8"))
    options = tuple(
        Hypothesis(name, option, entry["text_templates"][0].format(words["text"][0]))
        for name, entry in attributes.items()
        for option, words in entry["options"].items()
    )
    asked = (Hypothesis(name, None, entry["text_question"]) for name, entry in attributes.items())
    return (*options, *asked) if questions else options


def judge(caption: Caption, hypothesis: Hypothesis) -> int:
    """Judge whether a caption entails a hypothesis.

    Returns
    -------
    int
        2 (entailment) if the caption says the option; 0 (contradiction) if it says another or denies this one;
        else 1 (neutral). For the question whether an attribute is said at all, 2 or 1.
    """
    said = caption.said[hypothesis.attribute]
    if hypothesis.option is None:
        return NEUTRAL if said is None else ENTAILMENT
    if said == hypothesis.option:
        return ENTAILMENT
    denied = (hypothesis.attribute, hypothesis.option) in caption.denied
    return CONTRADICTION if denied or said is not None else NEUTRAL


def choose_options(
    logits: np.ndarray, hypotheses: Sequence[Hypothesis], *, threshold: float = 0.5
) -> dict[str, list[str | None]]:
    """Choose each attribute's most entailed option, or None if its contradiction outweighs its entailment.

    This is the rule of stage 04: the option with the largest entailment logit, if the softmax of its
    entailment against its contradiction reaches the threshold.

    Parameters
    ----------
    logits
        Shape (texts, hypotheses, 2): contradiction and entailment.
    hypotheses
        As many as the second axis is long.
    threshold
        Lowest score, 0 to 1.

    Returns
    -------
    dict
        Attribute to one option or None per text.
    """
    leads = logits[..., 1] - logits[..., 0]
    least = np.log(threshold / (1.0 - threshold))
    labels = {}
    for name in dict.fromkeys(h.attribute for h in hypotheses):
        places = np.array([i for i, h in enumerate(hypotheses) if h.attribute == name])
        best = places[logits[:, places, 1].argmax(axis=1)]
        said = leads[np.arange(len(leads)), best] >= least
        labels[name] = [hypotheses[b].option if yes else None for b, yes in zip(best, said, strict=True)]
    return labels


def score_labels(
    labels: Mapping[str, Sequence[str | None]], captions: Sequence[Caption]
) -> dict[str, dict[str, float]]:
    """Score labels against what the captions say; "not said" is a class like the others.

    Returns
    -------
    dict
        Attribute, and `mean` over attributes, to `macro_f1` (mean F1 of the classes that occur) and `accuracy`.
    """
    scores = {}
    for name, found in labels.items():
        truth = [caption.said[name] for caption in captions]
        pairs = list(zip(truth, found, strict=True))
        f1 = []
        for option in {*truth, *found}:
            hits = sum(t == f == option for t, f in pairs)
            f1.append(2 * hits / (truth.count(option) + list(found).count(option)))
        scores[name] = {
            "macro_f1": float(np.mean(f1)),
            "accuracy": float(np.mean([t == f for t, f in pairs])),
        }
    scores["mean"] = {
        key: float(np.mean([s[key] for s in scores.values()])) for key in ("macro_f1", "accuracy")
    }
    return scores


def evaluate(
    score: Callable[[list[str], list[str]], np.ndarray],
    captions: Sequence[Caption],
    *,
    hypotheses: Sequence[Hypothesis],
    threshold: float = 0.5,
) -> dict[str, dict[str, dict[str, float]]]:
    """Label captions with a model and score the labels, for all captions and by kind.

    Parameters
    ----------
    score
        Takes n texts and m hypotheses and returns (n, m, 2) logits of contradiction and entailment, such as
        the method `score` of any text classifier of the package.
    captions
        Captions, with what they say.
    hypotheses
        As from `read_hypotheses`.
    threshold
        As for `choose_options`.

    Returns
    -------
    dict
        `all`, `sentence`, `tags` and `tricky` (those that occur) to the scores of `score_labels`.
    """
    logits = score([caption.text for caption in captions], [h.text for h in hypotheses])
    parts = {
        "all": list(range(len(captions))),
        "sentence": [i for i, caption in enumerate(captions) if caption.kind == "sentence"],
        "tags": [i for i, caption in enumerate(captions) if caption.kind == "tags"],
        "tricky": [i for i, caption in enumerate(captions) if caption.tricky],
    }
    return {
        part: score_labels(
            choose_options(logits[rows], hypotheses, threshold=threshold), [captions[i] for i in rows]
        )
        for part, rows in parts.items()
        if rows
    }
