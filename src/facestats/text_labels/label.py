"""Stage 04: the attributes that texts state, by natural language inference, and by a lexicon of tags."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core import progress
from facestats.core.label_columns import label_columns
from facestats.core.tables import KEY, check_columns
from facestats.text_labels.tag_lexicon import find_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings, Config
    from facestats.core.protocols import Encoder, TextClassifier
    from facestats.text_labels.tag_lexicon import Found

log = logging.getLogger(__name__)

_MADE_BY = "fs.list_captions (notebooks/04_text_labels.ipynb)"


def label_texts(
    captions: pl.DataFrame,
    classifier: TextClassifier,
    attributes: Mapping[str, AttributeSettings],
    *,
    threshold: float = 0.5,
    ask_first: bool = False,
    lexicon: bool = False,
) -> pl.DataFrame:
    """Label every text with the options that it states; null where it does not say.

    Each option's hypotheses ("The person has red hair.") are put to the classifier, and their logits averaged.
    The probabilities are a softmax of entailment over the options, the rule of the zero-shot
    pipeline of transformers (Yin et al. 2019); the score is that of entailment against contradiction.

    Parameters
    ----------
    captions
        `image_id` and `text`, as :func:`list_captions` makes it; equal texts are scored once.
    classifier
        NLI handle, such as ``fs.models.bart(cfg.text_labels)``.
    attributes
        ``cfg.attributes``: options, their hypotheses, questions and tags.
    threshold
        Lowest score, 0 to 1, at which a text counts as stating its best option.
    ask_first
        Put the attribute's `text_question` first, and its options only to texts that speak of it. Cheaper
        where texts say little; what it changes is measured in benchmarks/.
    lexicon
        Look tags up first: in a list of tags, one that is exactly a tag of one option decides, and the
        classifier sees only what is left open.

    Returns
    -------
    `image_id` and, per attribute `a`: `text_a` (Enum in the order of the options, null if the score is below
    `threshold`), `text_a_score` and `text_a_margin` (Float32: entailment of the best option, and the lead of
    its probability over the second), `text_a_probs` (Array(Float32, number of options)). All null without
    a text. Margin and probabilities are null where `ask_first` found that the text does not say, and the score is
    that of the question. With `lexicon` also `text_a_span` (String, the tag that decided, else null).
    """
    if not 0 <= threshold <= 1:
        msg = f"threshold is a score between 0 and 1, got {threshold}"
        raise ValueError(msg)
    texts, distinct = _texts(captions)
    tags = find_tags(distinct.to_list(), attributes) if lexicon else {}
    opened = {
        name: np.array([i for i in range(len(distinct)) if i not in tags.get(name, {})], dtype=np.intp)
        for name in attributes
    }
    asked = _ask(distinct, opened, classifier, attributes, threshold=threshold) if ask_first else {}
    for name, scores in asked.items():
        opened[name] = opened[name][scores[opened[name]] >= threshold]
    logits = _score_options(distinct, opened, classifier, attributes)
    columns = [distinct.alias("text")]
    for name, attribute in attributes.items():
        options = list(attribute.options)
        values = np.full((len(distinct), len(options), 2), np.nan)
        values[opened[name]] = logits[name]
        columns += _decide(f"text_{name}", options, values, threshold=threshold, unasked=asked.get(name))
        if lexicon:
            columns = _overrule(columns, f"text_{name}", options, tags.get(name, {}))
    progress.advance(captions.height)
    keyed = captions.select(KEY, text=texts)
    return keyed.join(
        pl.DataFrame(columns), on="text", how="left", validate="m:1", maintain_order="left"
    ).drop("text")


def embed_texts(captions: pl.DataFrame, encoder: Encoder) -> pl.DataFrame:
    """Turn texts into CLIP vectors, which :func:`label_attributes` labels as it labels pictures.

    Parameters
    ----------
    captions
        `image_id` and `text`, as :func:`list_captions` makes it; equal texts are encoded once.
    encoder
        CLIP handle, such as ``fs.models.clip(cfg.embeddings)``.

    Returns
    -------
    `image_id`, `embedding` and `embedding_full` (the same vector: a text has one view; Array(Float32, dim),
    length one, null without a text).
    """
    texts, distinct = _texts(captions)
    vectors = encoder.encode_texts(distinct.to_list()) if distinct.len() else np.zeros((0, encoder.dim))
    table = pl.DataFrame(
        {"text": distinct, "embedding": pl.Series(vectors, dtype=pl.Array(pl.Float32, encoder.dim))}
    )
    progress.advance(captions.height)
    joined = captions.select(KEY, text=texts).join(table, on="text", how="left", maintain_order="left")
    return joined.select(KEY, "embedding", embedding_full="embedding")


def _texts(captions: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Return the texts, blank ones null, and the distinct ones among them."""
    check_columns(captions, KEY, "text", made_by=_MADE_BY)
    texts = captions.select(text=pl.when(pl.col("text").str.strip_chars() != "").then("text"))["text"]
    return texts, texts.drop_nulls().unique(maintain_order=True)


def _ask(
    distinct: pl.Series,
    opened: Mapping[str, NDArray[np.intp]],
    classifier: TextClassifier,
    attributes: Mapping[str, AttributeSettings],
    *,
    threshold: float,
) -> dict[str, NDArray[np.float64]]:
    """Score, per attribute with a question, how far each text speaks of it at all; `threshold` where not asked."""
    questions = {name: a.text_question for name, a in attributes.items() if a.text_question}
    scores = {name: np.full(len(distinct), threshold) for name in questions}
    for names, rows in _alike({name: opened[name] for name in questions}):
        logits = classifier.score(distinct.gather(rows).to_list(), [questions[name] for name in names])
        for i, name in enumerate(names):
            scores[name][rows] = _entailment(logits[:, i].astype(np.float64))
    return scores


def _score_options(
    distinct: pl.Series,
    opened: Mapping[str, NDArray[np.intp]],
    classifier: TextClassifier,
    attributes: Mapping[str, AttributeSettings],
) -> dict[str, NDArray[np.float32]]:
    """Logits (n_open, n_options, 2) of every attribute for the texts that are open for it."""
    out: dict[str, NDArray[np.float32]] = {}
    for names, rows in _alike(opened):
        groups = {name: attributes[name].hypotheses() for name in names}
        hypotheses = list(dict.fromkeys(h for group in groups.values() for hs in group.values() for h in hs))
        place = {hypothesis: i for i, hypothesis in enumerate(hypotheses)}
        logits = classifier.score(distinct.gather(rows).to_list(), hypotheses)
        for name, group in groups.items():
            averaged = [logits[:, [place[h] for h in hs]].mean(axis=1) for hs in group.values()]
            out[name] = np.stack(averaged, axis=1)
    return out


def _alike(opened: Mapping[str, NDArray[np.intp]]) -> list[tuple[list[str], NDArray[np.intp]]]:
    """Gather the attributes for which the same texts are open: they are scored in one call."""
    groups: dict[bytes, tuple[list[str], NDArray[np.intp]]] = {}
    for name, rows in opened.items():
        groups.setdefault(rows.tobytes(), ([], rows))[0].append(name)
    return list(groups.values())


def _entailment(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax of entailment against contradiction, (..., 2) to (...), without overflow."""
    return np.exp(-np.logaddexp(0, logits[..., 0] - logits[..., 1]))


def _decide(
    name: str,
    options: list[str],
    logits: NDArray[np.float64],
    *,
    threshold: float,
    unasked: NDArray[np.float64] | None,
) -> list[pl.Series]:
    """Make the four columns of one attribute from logits (n, n_options, 2), NaN where none were asked for."""
    from scipy.special import softmax

    scored = ~np.isnan(logits[:, 0, 0])
    values = np.where(scored[:, None, None], logits, 0.0)
    probs = softmax(values[..., 1], axis=1)
    best = probs.argmax(axis=1)
    score = _entailment(np.take_along_axis(values, best[:, None, None], axis=1)[:, 0])
    if unasked is not None:
        score = np.where(scored, score, unasked)
    nulls = {"label": (score < threshold) | ~scored, "margin": ~scored, "probs": ~scored}
    return label_columns(name, options, probs, score=score, nulls=nulls)


def _overrule(
    columns: list[pl.Series], name: str, options: list[str], found: Mapping[int, Found]
) -> list[pl.Series]:
    """Put what the lexicon found in place of what was left open for it, and add the span that decided."""
    n = len(columns[0])
    spans: list[str | None] = [None] * n
    chosen = np.full(n, -1)
    for row, (option, span) in found.items():
        spans[row], chosen[row] = span, options.index(option)
    hit = pl.Series(chosen >= 0)
    exact = np.eye(len(options), dtype=np.float32)[np.maximum(chosen, 0)]
    frame = pl.DataFrame(label_columns(name, options, exact))
    mixed = [
        pl.select(pl.when(hit).then(frame[c.name]).otherwise(c).alias(c.name)).to_series()
        if c.name in frame.columns
        else c
        for c in columns
    ]
    return [*mixed, pl.Series(f"{name}_span", spans, dtype=pl.String)]


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.label_texts`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    `attributes`, `threshold`, `ask_first` and `lexicon`.
    """
    section = cfg.text_labels
    return {
        "attributes": cfg.attributes,
        "threshold": section.threshold,
        "ask_first": section.ask_first,
        "lexicon": section.lexicon,
    }
