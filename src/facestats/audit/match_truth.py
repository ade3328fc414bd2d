"""Truth and table: the pictures that both know."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facestats.core.tables import KEY, TableError

if TYPE_CHECKING:
    import polars as pl


def match_truth(truth: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Keep the rows of the truth whose picture is in `table`.

    Raises
    ------
    TableError
        If there is truth, but of no picture in `table`: nothing would be scored.
    """
    matched = truth.join(table.select(KEY), on=KEY, how="semi", maintain_order="left")
    if truth.height and table.height and matched.is_empty():
        msg = (
            f"none of the {truth.height} pictures with known truth, such as {truth[KEY][0]!r}, is in the table; it"
            f" names {table[KEY].head(1).to_list()} and others. Write {KEY} as the table does, relative to the folder"
            " of the pictures, or take the truth that belongs to them."
        )
        raise TableError(msg)
    return matched
