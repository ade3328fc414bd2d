"""Which pictures to ask people about: the most informative ones, and a random sample to test on."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from facestats.core.tables import KEY, check_columns
from facestats.human_labels.answers_file import REASONS

TEST_SHARE = 0.25  # share of all rows that is reserved for the random sample and never offered as a hard case
# shares of the requested rows; the rest have the smallest margins
CONFLICT_SHARE, RANDOM_SHARE = 0.3, 0.3
_REASON = pl.Enum(REASONS)


def sample(
    labelled: pl.DataFrame,
    attribute: str,
    *,
    n_rows: int,
    seed: int = 0,
    answered: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Choose pictures for which a label by a person is most informative, and a random sample to test what was learned.

    A quarter of all rows, determined by `seed` and `image_id` alone, is reserved for the test. The random rows come
    from this quarter, and the hard rows never do. So the random rows stay an unbiased sample of all rows, no matter
    how often more rows are chosen.

    Parameters
    ----------
    labelled
        Table `attributes` or `master`, or some rows of it. Only `master` knows where picture and text conflict.
    attribute
        Name of the attribute.
    n_rows
        Number of rows to choose: 40 % with the smallest margins, 30 % with a conflict and 30 % at random. Where there
        are too few conflicts, small margins take their place. Fewer rows are returned where the table has too few.
    seed
        Seed of the random rows.
    answered
        From :func:`facestats.human_labels.read`. Rows that have a label for `attribute` there are left out, so that
        each call continues where the last answers ended.

    Returns
    -------
    The chosen rows with all their columns and `reason` (Enum: ``low_margin``, ``conflict``, ``random``). They are in
    the order of these reasons; rows of small margin and with a conflict start with the smallest margin.

    Raises
    ------
    TableError
        If `labelled` has no labels with a margin for `attribute`.
    ValueError
        If `n_rows` is below 1.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> chosen = fs.human_labels.sample(project.master, "age", n_rows=5)
    >>> sorted(set(chosen["reason"]))
    ['conflict', 'low_margin', 'random']
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
        done = answered.filter(attribute=attribute).select(pl.col(KEY).unique())
        labelled = labelled.join(done, on=KEY, how="anti", maintain_order="left")
    probe = f"probe_{attribute}_margin"
    margin = pl.coalesce(*([probe] if probe in labelled.columns else []), f"{attribute}_margin")
    rows = labelled.with_columns(_margin=margin, _number=_hash_to_unit_interval(labelled[KEY], seed)).filter(
        pl.col("_margin").is_not_null()
    )
    reserved = pl.col("_number") < TEST_SHARE
    random = rows.filter(reserved).sort("_number").head(round(RANDOM_SHARE * n_rows))
    hard = rows.filter(~reserved).sort("_margin", KEY)
    column = f"{attribute}_conflict"
    conflicts = hard.filter(column) if column in rows.columns else hard.head(0)
    conflicts = conflicts.head(round(CONFLICT_SHARE * n_rows))
    low_margin = hard.join(conflicts, on=KEY, how="anti", maintain_order="left").head(
        n_rows - random.height - conflicts.height
    )
    parts = zip((low_margin, conflicts, random), REASONS, strict=True)
    chosen = [part.with_columns(reason=pl.lit(reason, dtype=_REASON)) for part, reason in parts]
    return pl.concat(chosen).drop("_margin", "_number")


def _hash_to_unit_interval(ids: pl.Series, seed: int) -> pl.Series:
    """Give each key a number from 0 to 1 that depends on the key and the seed alone."""
    salt = str(seed).encode()
    hashes = [hashlib.blake2b(i.encode(), digest_size=8, key=salt).digest() for i in ids]
    return pl.Series(np.frombuffer(b"".join(hashes), dtype="<u8") / 2.0**64)
