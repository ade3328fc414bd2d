"""Whether picture and text say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from facestats.audit.confusion import count_pairs
from facestats.core.stats import cohen_kappa, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facestats.core.config import AttributeSettings


def texts(master: pl.DataFrame, attributes: Mapping[str, AttributeSettings]) -> pl.DataFrame:
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
