"""Compare the labels of pictures with the labels of their texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from facestats.audit.confusion import count_pairs, option_codes
from facestats.core.stats import cohen_kappa, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facestats.core.attribute_settings import AttributeSettings


def texts(master: pl.DataFrame, attributes: Mapping[str, AttributeSettings]) -> pl.DataFrame:
    """Compare the label of the picture with the label of the text, for faces that have both.

    Parameters
    ----------
    master
        Table of stage 06, or any table with the columns `image_a` and `text_a` (Enum or String) of attributes `a`.
    attributes
        ``cfg.attributes``.

    Returns
    -------
    One row per attribute that both sources label for at least one face: `attribute` (String), `n` (Int64, faces with
    both labels), `agreement` (Float64, share of equal labels) with `low` and `high` (Float64, 95 % Wilson interval),
    `kappa` (Float64, Cohen 1960: 1 is full agreement, 0 is chance, below 0 is worse than chance).

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> found = fs.audit.texts(project.master, project.attributes)
    >>> found.select("attribute", "n", "agreement").rows()
    [('age', 12, 0.5), ('hair_color', 12, 0.6666666666666666)]
    """
    rows = []
    for name, attribute in attributes.items():
        picture, text = f"image_{name}", f"text_{name}"
        if picture not in master.columns or text not in master.columns:
            continue
        both = master.select(picture, text).drop_nulls()
        if not both.height:
            continue
        a, b = (option_codes(both[c], attribute.options) for c in (picture, text))
        low, high = wilson_interval((a == b).sum(), len(a))
        kappa = cohen_kappa(count_pairs(a, b, len(attribute.options)))
        rows.append((name, len(a), float((a == b).mean()), float(low), float(high), kappa))
    floats = dict.fromkeys(("agreement", "low", "high", "kappa"), pl.Float64)
    schema = {"attribute": pl.String, "n": pl.Int64, **floats}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("kappa").fill_nan(None))
