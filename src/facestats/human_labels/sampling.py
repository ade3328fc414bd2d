"""Which rows to ask people about: the most informative ones first, and an honest sample to test on."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from facestats.core.tables import KEY, check_columns
from facestats.human_labels.answers_file import REASONS

TEST_SHARE = 0.25  # of all rows: kept for the honest sample, never picked because they are hard
REASON = pl.Enum(REASONS)


def sample(
    labelled: pl.DataFrame,
    attribute: str,
    *,
    n_rows: int,
    seed: int = 0,
    answered: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Choose rows whose labels by people teach most, and a random sample that tests what was learnt.

    A quarter of all rows, fixed by `seed` and `image_id` alone, is kept for the test: only random rows come from it,
    and the hard ones never do. However often more rows are picked, the random ones stay a fair sample of all rows.

    Parameters
    ----------
    labelled
        Table `attributes` or `master`, or rows of it. Conflicts of picture and text are known to `master` only.
    attribute
        Which attribute.
    n_rows
        Rows to choose: 40 % of small margin, 30 % with a conflict (of small margin where there are too few), 30 %
        random; fewer where there are not so many.
    seed
        Fixes the random rows.
    answered
        From :func:`facestats.human_labels.read`: rows that it has for `attribute` are left out, so that each call goes on
        where the last answers ended.

    Returns
    -------
    The chosen rows with all their columns and `reason` (Enum: low_margin, conflict, random), in this order; the
    smallest margins first.

    Raises
    ------
    TableError
        If there is no margin for `attribute`.
    ValueError
        If `n_rows` is below 1.
    """
    check_columns(
        labelled,
        KEY,
        attribute,
        f"{attribute}_margin",
        made_by="fs.label_attributes (notebooks/03_attributes.ipynb)",
    )
    if n_rows < 1:
        msg = f"n_rows must be 1 or more, got {n_rows}"
        raise ValueError(msg)
    if answered is not None:
        check_columns(answered, KEY, "attribute", made_by="fs.human_labels.read")
        known = answered.filter(attribute=attribute).select(pl.col(KEY).unique())
        labelled = labelled.join(known, on=KEY, how="anti", maintain_order="left")
    probe = f"probe_{attribute}_margin"
    margin = pl.coalesce(*([probe] if probe in labelled.columns else []), f"{attribute}_margin")
    rows = labelled.with_columns(_margin=margin, _place=_random_places(labelled[KEY], seed)).filter(
        pl.col("_margin").is_not_null()
    )
    kept = pl.col("_place") < TEST_SHARE
    drawn = rows.filter(kept).sort("_place").head(round(0.3 * n_rows))
    hard = rows.filter(~kept).sort("_margin", KEY)
    conflict = f"{attribute}_conflict"
    disputed = hard.filter(conflict) if conflict in rows.columns else hard.head(0)
    disputed = disputed.head(round(0.3 * n_rows))
    hard = hard.join(disputed, on=KEY, how="anti", maintain_order="left").head(
        n_rows - drawn.height - disputed.height
    )
    parts = zip((hard, disputed, drawn), REASONS, strict=True)
    picked = [part.with_columns(reason=pl.lit(reason, dtype=REASON)) for part, reason in parts]
    return pl.concat(picked).drop("_margin", "_place")


def _random_places(ids: pl.Series, seed: int) -> pl.Series:
    """Give each key a number from 0 to 1 that depends on nothing but the key and the seed."""
    salt = str(seed).encode()
    marks = [hashlib.blake2b(i.encode(), digest_size=8, key=salt).digest() for i in ids]
    return pl.Series(np.frombuffer(b"".join(marks), dtype="<u8") / 2.0**64)
