"""Questions to the labels that need no truth: other prompts, other attributes, the text beside the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.audit.random_phrases import NEAR, measure_meaning, spoken_of
from facestats.audit.confusion import association, cohen_kappa, count_pairs
from facestats.core.stats import wilson_interval
from facestats.core.tables import KEY, VIEWS
from facestats.human_labels.truth import PREFIX, match_truth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings
    from facestats.core.protocols import Encoder

MIN_PAIRS = 20


class Remembering:
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


def audit_prompts(
    embeddings: pl.DataFrame,
    encoder: Encoder,
    attributes: Mapping[str, AttributeSettings],
    *,
    label: Callable[..., pl.DataFrame],
) -> pl.DataFrame:
    """Leave out each template and each phrase in turn, label again from the stored vectors, and count what flips.

    Labels that hang on one wording are no property of the picture. A phrase is `astray` if its own prompts lie nearer
    to another option than to the other phrases of its own. It is `nonsense` if it lies no further from random letters
    than these do from each other, and shares no word with the name, the texts or the tags of its option.

    Parameters
    ----------
    embeddings
        Table of stage 02.
    encoder
        The encoder that made them; only its text side runs.
    attributes
        ``cfg.attributes``.
    label
        What labels: ``fs.label_attributes``.

    Returns
    -------
    `attribute`, `kind` (template, phrase), `option` (null for templates), `prompt` (what was left out), `n` (labels
    compared), `flips` (share of labels that change) with `low` and `high` (95 % Wilson), `astray` (Boolean), these
    null for options of one phrase; `meaning` (distance from random letters in SDs of these) and `nonsense` (Boolean).
    The last three are null for templates.
    """
    memory = Remembering(encoder)
    usual = label(embeddings, memory, attributes)
    rows = []
    for name, attribute in attributes.items():
        vectors = embeddings[VIEWS[attribute.view]].drop_nulls().to_numpy()
        meaning = measure_meaning(memory, attribute, vectors)
        for kind, option, prompt, changed in _leave_one_out(attribute):
            compared: tuple[int, float | None, float | None, float | None] = (0, None, None, None)
            if changed is not None:
                found = label(embeddings, memory, {name: changed})[name]
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


def _is_astray(encoder: Remembering, attribute: AttributeSettings, option: str, phrase: str) -> bool:
    """Whether a phrase lies nearer to another option than to the rest of its own."""
    own = encoder.encode_texts([t.format(phrase) for t in attribute.image_templates])
    near = {}
    for name, settings in attribute.options.items():
        phrases = [p for p in settings.image if name != option or p != phrase]
        others = encoder.encode_texts([t.format(p) for p in phrases for t in attribute.image_templates])
        anchor = others.mean(axis=0)
        near[name] = float((own @ (anchor / np.linalg.norm(anchor))).mean())
    return max(near, key=near.__getitem__) != option


def audit_crosstalk(
    master: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    *,
    truth: pl.DataFrame | None = None,
    n_resamples: int = 200,
    seed: int = 0,
) -> pl.DataFrame:
    """Ask of every pair of attributes whether the picture's labels hang together more than the truth does.

    Parameters
    ----------
    master
        Table of stage 06, or `attributes`.
    attributes
        ``cfg.attributes``.
    truth
        As :func:`read_truth` returns it; only its pictures count then.
    n_resamples, seed
        Bootstrap of the faces for the interval of the excess, and what fixes it.

    Returns
    -------
    `a`, `b`, `n`, `labels` and `truth` (Cramer's V with bias correction, 0 independent to 1), `excess` (labels minus
    truth) with `low` and `high` (95 %), null without truth; `example`: the pair of options that the labels join more often
    than the truth does or, without truth, than chance would.
    """
    faces = (
        master
        if truth is None
        else match_truth(truth, master).join(master, on=KEY, how="inner", validate="1:1")
    )
    rng, names, rows = np.random.default_rng(seed), list(attributes), []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            codes = _codes(faces, attributes, a, b, with_truth=truth is not None)
            n = codes.shape[1]
            if n < MIN_PAIRS:
                continue
            sizes = len(attributes[a].options), len(attributes[b].options)
            labels, known = (_table(codes[k : k + 2], sizes) for k in (0, 2 if len(codes) == 4 else 0))
            values: tuple[float | None, ...] = (None, None, None, None)
            if len(codes) == 4:
                drawn = [_excess(codes[:, rng.integers(0, n, n)], sizes) for _ in range(n_resamples)]
                ends = np.nanquantile(drawn, [0.025, 0.975]) if np.isfinite(drawn).any() else (np.nan, np.nan)
                values = (association(known), _excess(codes, sizes), float(ends[0]), float(ends[1]))
            example = _example(labels, known if len(codes) == 4 else None, attributes[a], attributes[b])
            rows.append((a, b, n, association(labels), *values, example))
    floats = dict.fromkeys(("labels", "truth", "excess", "low", "high"), pl.Float64)
    schema = {"a": pl.String, "b": pl.String, "n": pl.Int64, **floats, "example": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.selectors.float().fill_nan(None))
    return table.sort(pl.coalesce("excess", "labels"), descending=True, nulls_last=True)


def _codes(
    faces: pl.DataFrame, attributes: Mapping[str, AttributeSettings], a: str, b: str, *, with_truth: bool
) -> NDArray[np.int64]:
    """Option numbers of the labels of both attributes and, where there is truth, of the truth, (2 or 4, n)."""
    columns = [(f"image_{x}" if f"image_{x}" in faces.columns else x, x) for x in (a, b)]
    if with_truth:
        columns += [(PREFIX + x, x) for x in (a, b)]
    if any(c not in faces.columns for c, _ in columns):
        return np.zeros((len(columns), 0), dtype=np.int64)
    known = faces.select(c for c, _ in columns).drop_nulls()
    out = [
        known[c].cast(pl.Enum(list(attributes[x].options))).to_physical().cast(pl.Int64).to_numpy()
        for c, x in columns
    ]
    return np.stack(out)


def _table(codes: NDArray[np.int64], sizes: tuple[int, int]) -> NDArray[np.int64]:
    flat = np.bincount(codes[0] * sizes[1] + codes[1], minlength=sizes[0] * sizes[1])
    return flat.reshape(sizes)


def _excess(codes: NDArray[np.int64], sizes: tuple[int, int]) -> float:
    return association(_table(codes[:2], sizes)) - association(_table(codes[2:], sizes))


def _example(
    labels: NDArray[np.int64],
    truth: NDArray[np.int64] | None,
    a: AttributeSettings,
    b: AttributeSettings,
) -> str:
    """Name the options that the labels join most beyond what the truth, or chance, does."""
    n = labels.sum()
    usual = labels.sum(axis=1, keepdims=True) * labels.sum(axis=0) / n if truth is None else truth
    i, j = np.unravel_index(np.argmax(labels - usual), labels.shape)
    what = "by chance" if truth is None else "in truth"
    return f"{list(a.options)[i]} and {list(b.options)[j]}: {labels[i, j]} faces, {usual[i, j]:.0f} {what}"


def audit_texts(master: pl.DataFrame, attributes: Mapping[str, AttributeSettings]) -> pl.DataFrame:
    """Compare the picture's label with the text's, where both speak.

    Returns
    -------
    Per `attribute`: `n` (faces of which both say something), `agreement` with `low` and `high` (95 % Wilson), `kappa`
    (Cohen 1960; 0 is chance, below 0 is worse); no row where picture and text never speak of the same face.
    """
    rows = []
    for name, attribute in attributes.items():
        picture, text = f"image_{name}", f"text_{name}"
        if picture not in master.columns or text not in master.columns:
            continue
        kind = pl.Enum(list(attribute.options))
        both = master.select(pl.col(picture, text).cast(pl.String).cast(kind)).drop_nulls()
        if not both.height:
            continue
        a, b = (both[c].to_physical().cast(pl.Int64).to_numpy() for c in (picture, text))
        low, high = wilson_interval((a == b).sum(), len(a))
        kappa = cohen_kappa(count_pairs(a, b, len(attribute.options)))
        rows.append((name, len(a), float((a == b).mean()), float(low), float(high), kappa))
    floats = dict.fromkeys(("agreement", "low", "high", "kappa"), pl.Float64)
    schema = {"attribute": pl.String, "n": pl.Int64, **floats}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("kappa").fill_nan(None))
