"""Measure whether the labels of two attributes are associated more strongly than the truth is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.audit.confusion import association, option_codes
from facestats.audit.match_truth import match_truth
from facestats.core.display import count_of
from facestats.core.tables import KEY, TRUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.attribute_settings import AttributeSettings

MIN_FACES = 20  # faces with both labels (and both truths) that a pair of attributes needs


def crosstalk(
    master: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame | None = None,
    *,
    n_resamples: int = 200,
    seed: int = 0,
) -> pl.DataFrame:
    """Measure for every pair of attributes whether the picture's labels are associated more strongly than the truth.

    Parameters
    ----------
    master
        Table of stage 06, or `attributes`: the columns `image_a`, or `a` if there is no such column.
    attributes
        ``cfg.attributes``.
    truth
        Table of :func:`facestats.human_labels.read_truth`. If it is given, only its pictures are used.
    n_resamples
        Bootstrap samples of the faces, for the interval of `excess`.
    seed
        Seed of the bootstrap.

    Returns
    -------
    One row per pair of attributes with at least 20 faces, the largest excess first: `a`, `b` (String), `n` (Int64,
    faces), `labels` and `truth` (Float64: Cramer's V with bias correction, Bergsma 2013; 0 is independent, 1 is
    determined by each other), `excess` (Float64, `labels` minus `truth`) with `low` and `high` (Float64, 95 %
    bootstrap interval), `example` (String: the two options that occur together more often than in truth or, without
    truth, than by chance). `truth`, `excess`, `low` and `high` are null without truth.

    Raises
    ------
    TableError
        If the truth has rows but none of its pictures is in `master`.

    Examples
    --------
    Everyone with black hair was labelled as a child:

    >>> import polars as pl
    >>> import facestats as fs
    >>> labels = pl.DataFrame({"age": ["child", "elderly"] * 20, "hair_color": ["black", "red"] * 20})
    >>> found = fs.audit.crosstalk(labels, fs.testing.example_project().attributes)
    >>> found.select("a", "b", "n", pl.col("labels").round(2), "example").row(0)
    ('age', 'hair_color', 40, 1.0, '20 faces are labelled child and black; 10 are expected by chance')
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
            if n < MIN_FACES:
                continue
            sizes = len(attributes[a].options), len(attributes[b].options)
            labels = _count_pairs_of_options(codes[:2], sizes)
            known = _count_pairs_of_options(codes[2:], sizes) if len(codes) == 4 else None
            values: tuple[float | None, ...] = (None, None, None, None)
            if known is not None:
                drawn = [_excess(codes[:, rng.integers(0, n, n)], sizes) for _ in range(n_resamples)]
                ends = np.nanquantile(drawn, [0.025, 0.975]) if np.isfinite(drawn).any() else (np.nan, np.nan)
                values = (association(known), _excess(codes, sizes), float(ends[0]), float(ends[1]))
            example = _example(labels, known, attributes[a], attributes[b])
            rows.append((a, b, n, association(labels), *values, example))
    floats = dict.fromkeys(("labels", "truth", "excess", "low", "high"), pl.Float64)
    schema = {"a": pl.String, "b": pl.String, "n": pl.Int64, **floats, "example": pl.String}
    table = pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.selectors.float().fill_nan(None))
    return table.sort(pl.coalesce("excess", "labels"), descending=True, nulls_last=True)


def _codes(
    faces: pl.DataFrame, attributes: Mapping[str, AttributeSettings], a: str, b: str, *, with_truth: bool
) -> NDArray[np.int64]:
    """Option indices of the labels of both attributes and, with truth, of their true values, (2 or 4, n)."""
    columns = [(f"image_{x}" if f"image_{x}" in faces.columns else x, x) for x in (a, b)]
    if with_truth:
        columns += [(TRUE_PREFIX + x, x) for x in (a, b)]
    if any(c not in faces.columns for c, _ in columns):
        return np.zeros((len(columns), 0), dtype=np.int64)
    known = faces.select(c for c, _ in columns).drop_nulls()
    return np.stack([option_codes(known[c], attributes[x].options) for c, x in columns])


def _count_pairs_of_options(codes: NDArray[np.int64], sizes: tuple[int, int]) -> NDArray[np.int64]:
    flat = np.bincount(codes[0] * sizes[1] + codes[1], minlength=sizes[0] * sizes[1])
    return flat.reshape(sizes)


def _excess(codes: NDArray[np.int64], sizes: tuple[int, int]) -> float:
    labels, truth = (_count_pairs_of_options(codes[k : k + 2], sizes) for k in (0, 2))
    return association(labels) - association(truth)


def _example(
    labels: NDArray[np.int64],
    truth: NDArray[np.int64] | None,
    a: AttributeSettings,
    b: AttributeSettings,
) -> str:
    """Name the two options whose joint count most exceeds that of the truth or, without truth, that of chance."""
    chance = labels.sum(axis=1, keepdims=True) * labels.sum(axis=0) / labels.sum()
    usual = chance if truth is None else truth
    i, j = np.unravel_index(np.argmax(labels - usual), labels.shape)
    both = f"{list(a.options)[i]} and {list(b.options)[j]}"
    labelled = count_of(labels[i, j], "face is labelled", "faces are labelled")
    is_or_are = count_of(round(usual[i, j]), "is", "are")
    return f"{labelled} {both}; {is_or_are} {'expected by chance' if truth is None else 'so in truth'}"
