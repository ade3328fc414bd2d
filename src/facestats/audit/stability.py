"""Measure whether labels change when a crop is shifted, turned, scaled or mirrored: the face stays the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from facestats.attributes.zero_shot import label_attributes
from facestats.audit.changed_crops import VARIANTS
from facestats.core.stats import wilson_interval
from facestats.core.tables import KEY, check_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facestats.core.attribute_settings import AttributeSettings
    from facestats.core.protocols import Encoder


def stability(
    changed: pl.DataFrame, attributes: Mapping[str, AttributeSettings], encoder: Encoder
) -> pl.DataFrame:
    """Label crops that are moved a little or mirrored, and count labels that differ from the unchanged crop.

    Parameters
    ----------
    changed
        From :func:`facestats.audit.changed_crops`.
    attributes
        ``cfg.attributes``.
    encoder
        The encoder that made the embeddings; only its text side is used.

    Returns
    -------
    One row per attribute and variant: `attribute`, `variant` (String: mirrored; shifted by 2 % of the side; turned by 3
    degrees; scaled by 4 %), `n` (Int64, faces), `flips` (Float64, share of labels that differ from those of the
    unchanged crop), `low` and `high` (Float64, 95 % Wilson interval).

    Raises
    ------
    TableError
        If `changed` lacks a column.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> changed = fs.audit.changed_crops(
    ...     project.faces, project.encoder, raw_dir=project.raw_dir, size=64, n_faces=3
    ... )
    >>> found = fs.audit.stability(changed, project.attributes, project.encoder)
    >>> found.filter(attribute="age").select("variant", "n", "flips").rows()
    [('mirrored', 3, 0.0), ('shifted', 3, 0.0), ('turned', 3, 0.0), ('scaled', 3, 0.0)]
    """
    check_columns(changed, KEY, "variant", made_by="fs.audit.changed_crops")
    labels = {v: label_attributes(changed.filter(variant=v), encoder, attributes) for v in VARIANTS}
    return _count_flips(labels, attributes)


def _count_flips(
    labels: Mapping[str, pl.DataFrame], attributes: Mapping[str, AttributeSettings]
) -> pl.DataFrame:
    out = []
    for name in attributes:
        unchanged = labels[VARIANTS[0]][name].cast(pl.String)
        for variant in VARIANTS[1:]:
            changed = int((unchanged != labels[variant][name].cast(pl.String)).sum() or 0)
            low, high = wilson_interval(changed, len(unchanged))
            out.append(
                (name, variant, len(unchanged), changed / max(len(unchanged), 1), float(low), float(high))
            )
    floats = dict.fromkeys(("flips", "low", "high"), pl.Float64)
    schema = {"attribute": pl.String, "variant": pl.String, "n": pl.Int64, **floats}
    return pl.DataFrame(out, schema=schema, orient="row")
