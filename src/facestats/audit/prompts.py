"""Questions to the labels that need no truth: other prompts, other attributes, the text beside the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.attributes.zero_shot import label_attributes
from facestats.audit.random_phrases import NEAR, measure_meaning, spoken_of
from facestats.core.stats import wilson_interval
from facestats.core.tables import VIEWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings
    from facestats.core.protocols import Encoder


class CachedTextEncoder:
    """An encoder that encodes each text once: leaving prompts out one by one asks for the same ones again."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._known: dict[str, NDArray[np.float32]] = {}

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
    """Leave out each template and each phrase in turn, label again from the stored vectors, and count what flips.

    Labels that hang on one wording are no property of the picture. A phrase is `astray` if its own prompts lie nearer
    to another option than to the other phrases of its own. It is `nonsense` if it lies no further from random letters
    than these do from each other, and shares no word with the name, the texts or the tags of its option.

    Parameters
    ----------
    embeddings
        Table of stage 02.
    attributes
        ``cfg.attributes``.
    encoder
        The encoder that made them; only its text side runs.

    Returns
    -------
    `attribute`, `kind` (template, phrase), `option` (null for templates), `prompt` (what was left out), `n` (labels
    compared), `flips` (share of labels that change) with `low` and `high` (95 % Wilson), `astray` (Boolean), these
    null for options of one phrase; `meaning` (distance from random letters in SDs of these) and `nonsense` (Boolean).
    The last three are null for templates.
    """
    memory = CachedTextEncoder(encoder)
    usual = label_attributes(embeddings, memory, attributes)
    rows = []
    for name, attribute in attributes.items():
        vectors = embeddings[VIEWS[attribute.view]].drop_nulls().to_numpy()
        meaning = measure_meaning(memory, attribute, vectors)
        for kind, option, prompt, changed in _leave_one_out(attribute):
            compared: tuple[int, float | None, float | None, float | None] = (0, None, None, None)
            if changed is not None:
                found = label_attributes(embeddings, memory, {name: changed})[name]
                compared = _compare(usual[name], found)
            said: tuple[bool | None, float | None, bool | None] = (None, None, None)
            if option is not None:
                astray = None if changed is None else _is_astray(memory, attribute, option, prompt)
                far = meaning[option, prompt]
                said = astray, far, far < NEAR and not spoken_of(attribute, option, prompt)
            rows.append((name, kind, option, prompt, *compared, *said))
    texts = dict.fromkeys(("attribute", "kind", "option", "prompt"), pl.String)
    shares = dict.fromkeys(("flips", "low", "high"), pl.Float64)
    judged = {"astray": pl.Boolean, "meaning": pl.Float64, "nonsense": pl.Boolean}
    return pl.DataFrame(rows, schema={**texts, "n": pl.Int64, **shares, **judged}, orient="row")


def _compare(usual: pl.Series, found: pl.Series) -> tuple[int, float, float, float]:
    """Count labels that both have, and the share that differs with its interval."""
    n = int((usual.is_not_null() & found.is_not_null()).sum())
    flips = int((usual.cast(pl.String) != found.cast(pl.String)).sum() or 0)
    low, high = wilson_interval(flips, n)
    return n, flips / max(n, 1), float(low), float(high)


def _leave_one_out(
    attribute: AttributeSettings,
) -> list[tuple[str, str | None, str, AttributeSettings | None]]:
    """List the attribute without each template and each phrase; None where an option has but one."""
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
    """Whether a phrase lies nearer to another option than to the rest of its own."""
    own = encoder.encode_texts([t.format(phrase) for t in attribute.image_templates])
    near = {}
    for name, settings in attribute.options.items():
        phrases = [p for p in settings.image if name != option or p != phrase]
        others = encoder.encode_texts([t.format(p) for p in phrases for t in attribute.image_templates])
        anchor = others.mean(axis=0)
        near[name] = float((own @ (anchor / np.linalg.norm(anchor))).mean())
    return max(near, key=near.__getitem__) != option
