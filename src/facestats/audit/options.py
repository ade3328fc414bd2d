"""Count how often each option is given as a label and, where truth is known, how often it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.audit.match_truth import match_truth
from facestats.core.stats import wilson_interval
from facestats.core.tables import KEY, TRUE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facestats.core.attribute_settings import AttributeSettings


def options(
    master: pl.DataFrame,
    attributes: Mapping[str, AttributeSettings],
    truth: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Count how often the picture's label is each option and, where truth is known, how often the option is found.

    Parameters
    ----------
    master
        Table of stage 06, or `attributes`: the columns `image_a`, or `a` if there is no such column, with `_score`.
    attributes
        ``cfg.attributes``.
    truth
        Table of :func:`facestats.human_labels.read_truth`; None if nothing is known.

    Returns
    -------
    One row per option: `attribute`, `option` (String), `n` (Int64, labels with this option), `share` (Float64, of all
    labels of the attribute), `score` (Float64, mean score of these labels), `n_true` (Int64, faces whose true option is
    this one), `recall` (Float64, share of those faces whose label is correct) with `recall_low` and `recall_high`
    (Float64, 95 % Wilson interval). `recall` is null if the option is true for no face; `n_true` is null if there is
    no truth for the attribute.

    Raises
    ------
    TableError
        If the truth has rows but none of its pictures is in `master`.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> found = fs.audit.options(project.master, project.attributes, project.truth)
    >>> found.select("option", "n", "n_true", "recall").rows()
    [('child', 12, 6, 1.0), ('elderly', 0, 6, 0.0), ('black', 12, None, None), ('red', 0, None, None)]
    """
    rows: list[tuple[Any, ...]] = []
    faces = (
        master
        if truth is None
        else master.join(match_truth(truth, master), on=KEY, how="left", validate="1:1")
    )
    for name, attribute in attributes.items():
        column = f"image_{name}" if f"image_{name}" in faces.columns else name
        label = faces[column].cast(pl.String)
        true = faces[TRUE_PREFIX + name].cast(pl.String) if TRUE_PREFIX + name in faces.columns else None
        for option in attribute.options:
            given = (label == option).fill_null(value=False)
            n, total = int(given.sum()), len(label) - label.null_count()
            score = (
                faces.filter(given)[f"{column}_score"].mean() if f"{column}_score" in faces.columns else None
            )
            row = (name, option, n, n / max(total, 1), score)
            if true is None or not (n_true := int((true == option).sum() or 0)):
                rows.append((*row, None if true is None else 0, None, None, None))
                continue
            hits = int((given & (true == option)).sum() or 0)
            low, high = wilson_interval(hits, n_true)
            rows.append((*row, n_true, hits / n_true, float(low), float(high)))
    texts = dict.fromkeys(("attribute", "option"), pl.String)
    floats = dict.fromkeys(("recall", "recall_low", "recall_high"), pl.Float64)
    counts = {"n": pl.Int64, "share": pl.Float64, "score": pl.Float64, "n_true": pl.Int64}
    return pl.DataFrame(rows, schema={**texts, **counts, **floats}, orient="row")
