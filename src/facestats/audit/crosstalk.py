"""Whether the labels of two attributes are associated more than the truth is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.audit.confusion import association
from facestats.audit.match_truth import match_truth
from facestats.core.tables import KEY, TRUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.config import AttributeSettings

MIN_PAIRS = 20


def crosstalk(
    master: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame | None = None,
    *,
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
        As :func:`facestats.human_labels.read_truth` returns it; only its pictures count then.
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
        columns += [(TRUE_PREFIX + x, x) for x in (a, b)]
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
