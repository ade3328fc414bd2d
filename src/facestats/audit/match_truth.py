"""Match known truth with a table by picture."""

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
        If the truth has rows but none of its pictures is in `table`: nothing would be scored.
    """
    matched = truth.join(table.select(KEY), on=KEY, how="semi", maintain_order="left")
    if truth.height and table.height and matched.is_empty():
        msg = (
            f"none of the {truth.height} pictures with known truth is in the table: the truth names pictures such as"
            f" {truth[KEY][0]!r}, the table names pictures such as {table[KEY][0]!r}. Write {KEY} in the truth as in"
            " the table, relative to the folder of the pictures, or use the truth that belongs to these pictures."
        )
        raise TableError(msg)
    return matched
