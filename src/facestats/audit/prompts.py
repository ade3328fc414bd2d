"""Measure how much the labels depend on single wordings, and find phrases that are misplaced or meaningless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.attributes.zero_shot import label_attributes
from facestats.audit.random_phrases import MEANINGLESS, measure_meaning, names_its_option
from facestats.core.stats import wilson_interval
from facestats.core.tables import VIEWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facestats.core.attribute_settings import AttributeSettings
    from facestats.core.protocols import Encoder


class CachedTextEncoder:
    """An encoder that encodes each text once: leaving out prompts one by one needs the same texts many times."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, NDArray[np.float32]] = {}

    def __repr__(self) -> str:
        return f"CachedTextEncoder({self._encoder.name!r}, {len(self._known)} texts)"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts into (n, dim) unit vectors."""
        if new := [text for text in dict.fromkeys(texts) if text not in self._known]:
            self._known |= dict(zip(new, self._encoder.encode_texts(new), strict=True))
        return np.stack([self._known[text] for text in texts])


def prompts(
    embeddings: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    encoder: Encoder,
) -> pl.DataFrame:
    """Leave out each template and each phrase in turn, label again from the stored vectors, and count changed labels.

    A label that depends on one wording is no property of the picture. A phrase is `astray` if its prompts lie nearer to
    another option than to the other phrases of its own option. A phrase is `nonsense` if its prompts lie no further
    from random letters than these lie from each other, and it shares no word with the name, texts or tags of its option.

    Parameters
    ----------
    embeddings
        Table of stage 02: `image_id`, `embedding`, `embedding_full`.
    attributes
        ``cfg.attributes``.
    encoder
        The encoder that made the embeddings. Only its text side runs.

    Returns
    -------
    One row per wording: `attribute`, `kind` (String: template or phrase), `option` (String, null for templates),
    `prompt` (String, the wording that was left out), `n` (Int64, labels compared), `flips` (Float64, share of labels
    that change) with `low` and `high` (Float64, 95 % Wilson interval), `astray` (Boolean), `meaning` (Float64, distance
    from random letters in their SDs; below 1.5 is meaningless), `nonsense` (Boolean). `flips`, `low`, `high` and
    `astray` are null for the only phrase of an option; the last three columns are null for templates.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> found = fs.audit.prompts(project.embeddings, project.attributes, project.encoder)
    >>> found.filter(attribute="age", kind="template").select("prompt", "n", "flips").rows()
    [('a photo of a person with {}', 12, 0.0), ('a drawing of {}', 12, 1.0)]
    """
    cached = CachedTextEncoder(encoder)
    labels = label_attributes(embeddings, cached, attributes)
    rows = []
    for name, attribute in attributes.items():
        vectors = embeddings[VIEWS[attribute.view]].drop_nulls().to_numpy()
        meaning = measure_meaning(cached, attribute, vectors)
        for kind, option, prompt, changed in _leave_one_out(attribute):
            compared: tuple[int, float | None, float | None, float | None] = (0, None, None, None)
            if changed is not None:
                compared = _compare(labels[name], label_attributes(embeddings, cached, {name: changed})[name])
            judged: tuple[bool | None, float | None, bool | None] = (None, None, None)
            if option is not None:
                astray = None if changed is None else _is_astray(cached, attribute, option, prompt)
                far = meaning[option, prompt]
                judged = astray, far, far < MEANINGLESS and not names_its_option(attribute, option, prompt)
            rows.append((name, kind, option, prompt, *compared, *judged))
    strings = dict.fromkeys(("attribute", "kind", "option", "prompt"), pl.String)
    shares = dict.fromkeys(("flips", "low", "high"), pl.Float64)
    verdicts = {"astray": pl.Boolean, "meaning": pl.Float64, "nonsense": pl.Boolean}
    return pl.DataFrame(rows, schema={**strings, "n": pl.Int64, **shares, **verdicts}, orient="row")


def _compare(before: pl.Series, after: pl.Series) -> tuple[int, float, float, float]:
    """Count the labels that both have; return that number, the share that differs, and its interval."""
    n = int((before.is_not_null() & after.is_not_null()).sum())
    flips = int((before.cast(pl.String) != after.cast(pl.String)).sum() or 0)
    low, high = wilson_interval(flips, n)
    return n, flips / max(n, 1), float(low), float(high)


def _leave_one_out(
    attribute: AttributeSettings,
) -> list[tuple[str, str | None, str, AttributeSettings | None]]:
    """List kind, option and wording of all that can be left out, and the attribute without it.

    The attribute is None for the only phrase of an option, which cannot be left out.
    """
    templates = attribute.image_templates
    out: list[tuple[str, str | None, str, AttributeSettings | None]] = []
    if len(templates) > 1:
        for left in templates:
            kept = tuple(t for t in templates if t != left)
            out.append(("template", None, left, attribute.model_copy(update={"image_templates": kept})))
    for option, settings in attribute.options.items():
        if len(settings.image) < 2:
            out.append(("phrase", option, settings.image[0], None))
            continue
        for left in settings.image:
            kept = tuple(p for p in settings.image if p != left)
            options = {**attribute.options, option: settings.model_copy(update={"image": kept})}
            out.append(("phrase", option, left, attribute.model_copy(update={"options": options})))
    return out


def _is_astray(encoder: CachedTextEncoder, attribute: AttributeSettings, option: str, phrase: str) -> bool:
    """Whether a phrase lies nearer to another option than to the other phrases of its own."""
    own = encoder.encode_texts([t.format(phrase) for t in attribute.image_templates])
    similarity = {}
    for name, settings in attribute.options.items():
        phrases = [p for p in settings.image if name != option or p != phrase]
        others = encoder.encode_texts([t.format(p) for p in phrases for t in attribute.image_templates])
        anchor = others.mean(axis=0)
        similarity[name] = float((own @ (anchor / np.linalg.norm(anchor))).mean())
    return max(similarity, key=similarity.__getitem__) != option
