"""Stage 04: the attributes that texts state, by natural language inference and a lexicon of tags."""

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
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings, Config
    from facestats.core.protocols import Encoder, TextClassifier
    from facestats.text_labels.tag_lexicon import TagHit

log = logging.getLogger(__name__)

_MADE_BY = "fs.list_captions (notebooks/04_text_labels.ipynb)"


def label_texts(
    captions: pl.DataFrame,
    classifier: TextClassifier | None,
    attributes: Mapping[str, AttributeSettings],
    *,
    threshold: float = 0.5,
    ask_first: bool = False,
    lexicon: bool = False,
) -> pl.DataFrame:
    """Label each text with the options that it states; null where it does not state one.

    The classifier scores the hypotheses of each option ("The person has red hair."), and their logits are averaged.
    The probabilities are a softmax of the entailment logits over the options, as in the zero-shot pipeline of
    transformers (Yin et al. 2019). The score of a label is the softmax of entailment against contradiction.

    Parameters
    ----------
    captions
        `image_id` and `text`, as :func:`facestats.list_captions` returns them; equal texts are scored once.
    classifier
        NLI handle, such as ``fs.models.bart(cfg.text_labels)``; None suffices where no picture has a text.
    attributes
        ``cfg.attributes``: options, their hypotheses, questions and tags.
    threshold
        Lowest score, 0 to 1, at which a text counts as stating its best option.
    ask_first
        Whether to score the `text_question` of an attribute first, and its options only for texts that mention the
        attribute. This is faster where texts say little; benchmarks/text_ways.py measures how labels change.
    lexicon
        Whether to look up tags first. If a text is a list of tags, and its tags match exactly one option, that
        option is the label. The classifier scores only the rest.

    Returns
    -------
    One row per row of `captions`: `image_id` (String) and, for each attribute `a`:

    - `text_a` (Enum in the order of the options, null where the score is below `threshold`),
    - `text_a_score` (Float32, entailment of the best option; 1 where a tag decided),
    - `text_a_margin` (Float32, lead of its probability over the second-best option),
    - `text_a_probs` (Array(Float32, number of options)),
    - with `lexicon`, also `text_a_span` (String, the tag that decided, else null).

    All are null without a text. Where `ask_first` finds that a text does not mention the attribute, `text_a_score`
    is the score of the question, and label, margin and probabilities are null.

    Raises
    ------
    TableError
        If `captions` lacks a column.
    ValueError
        If `threshold` is not between 0 and 1, or there are texts and no classifier.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> labels = fs.label_texts(project.captions, project.classifier, project.attributes)
    >>> project.captions["text"][0]
    'A child with black hair.'
    >>> labels.select("text_age", "text_hair_color").row(0)
    ('child', 'black')
    """
    if not 0 <= threshold <= 1:
        msg = f"threshold must be between 0 and 1, got {threshold}"
        raise ValueError(msg)
    texts, distinct = _distinct_texts(captions)
    tags = find_tags(distinct.to_list(), attributes) if lexicon else {}
    open_rows = {
        name: np.array([i for i in range(len(distinct)) if i not in tags.get(name, {})], dtype=np.intp)
        for name in attributes
    }
    question_scores = (
        _score_questions(distinct, open_rows, classifier, attributes, threshold=threshold)
        if ask_first
        else {}
    )
    for name, scores in question_scores.items():
        open_rows[name] = open_rows[name][scores[open_rows[name]] >= threshold]
    logits = _score_options(distinct, open_rows, classifier, attributes)
    columns = [distinct.alias("text")]
    for name, attribute in attributes.items():
        options = list(attribute.options)
        values = np.full((len(distinct), len(options), 2), np.nan)
        values[open_rows[name]] = logits[name]
        columns += _columns_from_logits(
            f"text_{name}", options, values, threshold=threshold, question_scores=question_scores.get(name)
        )
        if lexicon:
            columns = _replace_by_tags(columns, f"text_{name}", options, tags.get(name, {}))
    progress.advance(captions.height)
    keyed = captions.select(KEY, text=texts)
    return keyed.join(
        pl.DataFrame(columns), on="text", how="left", validate="m:1", maintain_order="left"
    ).drop("text")


def embed_texts(captions: pl.DataFrame, encoder: Encoder) -> pl.DataFrame:
    """Encode texts as CLIP vectors, which :func:`facestats.label_attributes` labels like those of pictures.

    Parameters
    ----------
    captions
        `image_id` and `text`, as :func:`facestats.list_captions` returns them; equal texts are encoded once.
    encoder
        CLIP handle, such as ``fs.models.clip(cfg.embeddings)``.

    Returns
    -------
    One row per row of `captions`: `image_id` (String), `embedding` and `embedding_full` (Array(Float32, encoder.dim),
    length one, null without a text). Both columns hold the same vector, because a text has only one view.

    Raises
    ------
    TableError
        If `captions` lacks a column.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> vectors = fs.text_labels.embed_texts(project.captions, project.encoder)
    >>> vectors.columns
    ['image_id', 'embedding', 'embedding_full']
    >>> vectors["embedding"].to_numpy().shape
    (12, 8)
    """
    texts, distinct = _distinct_texts(captions)
    vectors = encoder.encode_texts(distinct.to_list()) if distinct.len() else np.zeros((0, encoder.dim))
    table = pl.DataFrame(
        {"text": distinct, "embedding": pl.Series(vectors, dtype=pl.Array(pl.Float32, encoder.dim))}
    )
    progress.advance(captions.height)
    joined = captions.select(KEY, text=texts).join(table, on="text", how="left", maintain_order="left")
    return joined.select(KEY, "embedding", embedding_full="embedding")


def _distinct_texts(captions: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Return the texts, with null for blank ones, and the distinct texts."""
    check_columns(captions, KEY, "text", made_by=_MADE_BY)
    texts = captions.select(text=pl.when(pl.col("text").str.strip_chars() != "").then("text"))["text"]
    return texts, texts.drop_nulls().unique(maintain_order=True)


def _score_questions(
    distinct: pl.Series,
    open_rows: Mapping[str, NDArray[np.intp]],
    classifier: TextClassifier | None,
    attributes: Mapping[str, AttributeSettings],
    *,
    threshold: float,
) -> dict[str, NDArray[np.float64]]:
    """Score how far each text mentions each attribute that has a question; `threshold` where nothing was asked."""
    questions = {name: a.text_question for name, a in attributes.items() if a.text_question}
    scores = {name: np.full(len(distinct), threshold) for name in questions}
    for names, rows in _group_by_rows({name: open_rows[name] for name in questions}):
        logits = _score(distinct.gather(rows).to_list(), [questions[name] for name in names], classifier)
        for i, name in enumerate(names):
            scores[name][rows] = _entailment(logits[:, i].astype(np.float64))
    return scores


def _score_options(
    distinct: pl.Series,
    open_rows: Mapping[str, NDArray[np.intp]],
    classifier: TextClassifier | None,
    attributes: Mapping[str, AttributeSettings],
) -> dict[str, NDArray[np.float32]]:
    """Logits (n_open, n_options, 2) of each attribute for the texts that nothing has decided yet."""
    out: dict[str, NDArray[np.float32]] = {}
    for names, rows in _group_by_rows(open_rows):
        groups = {name: attributes[name].hypotheses() for name in names}
        hypotheses = list(dict.fromkeys(h for group in groups.values() for hs in group.values() for h in hs))
        position = {hypothesis: i for i, hypothesis in enumerate(hypotheses)}
        logits = _score(distinct.gather(rows).to_list(), hypotheses, classifier)
        for name, group in groups.items():
            averaged = [logits[:, [position[h] for h in hs]].mean(axis=1) for hs in group.values()]
            out[name] = np.stack(averaged, axis=1)
    return out


def _score(
    texts: list[str], hypotheses: Sequence[str], classifier: TextClassifier | None
) -> NDArray[np.float32]:
    """Score texts, if there are any: without one, no model is needed."""
    if not texts:
        return np.zeros((0, len(hypotheses), 2), dtype=np.float32)
    if classifier is None:
        msg = "there are texts to label, but classifier is None; give fs.models.bart(cfg.text_labels)"
        raise ValueError(msg)
    return classifier.score(texts, hypotheses)


def _group_by_rows(open_rows: Mapping[str, NDArray[np.intp]]) -> list[tuple[list[str], NDArray[np.intp]]]:
    """Group the attributes that need the same texts, so that one call scores them."""
    groups: dict[bytes, tuple[list[str], NDArray[np.intp]]] = {}
    for name, rows in open_rows.items():
        groups.setdefault(rows.tobytes(), ([], rows))[0].append(name)
    return list(groups.values())


def _entailment(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax of entailment against contradiction, (..., 2) to (...), without overflow."""
    return np.exp(-np.logaddexp(0, logits[..., 0] - logits[..., 1]))


def _columns_from_logits(
    name: str,
    options: list[str],
    logits: NDArray[np.float64],
    *,
    threshold: float,
    question_scores: NDArray[np.float64] | None,
) -> list[pl.Series]:
    """Make the four columns of one attribute from logits (n, n_options, 2), which are NaN where nothing was scored."""
    from scipy.special import softmax

    scored = ~np.isnan(logits[:, 0, 0])
    values = np.where(scored[:, None, None], logits, 0.0)
    probs = softmax(values[..., 1], axis=1)
    best = probs.argmax(axis=1)
    score = _entailment(np.take_along_axis(values, best[:, None, None], axis=1)[:, 0])
    if question_scores is not None:
        score = np.where(scored, score, question_scores)
    nulls = {"label": (score < threshold) | ~scored, "margin": ~scored, "probs": ~scored}
    return label_columns(name, options, probs, score=score, nulls=nulls)


def _replace_by_tags(
    columns: list[pl.Series], name: str, options: list[str], hits: Mapping[int, TagHit]
) -> list[pl.Series]:
    """Replace the labels of texts that the lexicon decided, and add the column of the deciding tags."""
    n = len(columns[0])
    spans: list[str | None] = [None] * n
    chosen = np.full(n, -1)
    for row, (option, span) in hits.items():
        spans[row], chosen[row] = span, options.index(option)
    decided = pl.Series(chosen >= 0)
    certain = np.eye(len(options), dtype=np.float32)[np.maximum(chosen, 0)]
    frame = pl.DataFrame(label_columns(name, options, certain))
    merged = [
        pl.select(pl.when(decided).then(frame[c.name]).otherwise(c).alias(c.name)).to_series()
        if c.name in frame.columns
        else c
        for c in columns
    ]
    return [*merged, pl.Series(f"{name}_span", spans, dtype=pl.String)]


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.label_texts`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    A dictionary with `attributes`, `threshold`, `ask_first` and `lexicon`.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> cfg = Config(attributes=fs.testing.example_project().attributes)
    >>> keywords = fs.text_labels.settings(cfg)
    >>> keywords["threshold"], keywords["ask_first"], keywords["lexicon"]
    (0.5, False, False)
    """
    section = cfg.text_labels
    return {
        "attributes": cfg.attributes,
        "threshold": section.threshold,
        "ask_first": section.ask_first,
        "lexicon": section.lexicon,
    }
