"""Write tables as CSV and Excel that open as they are: no text of a cell or header runs as a formula."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from facestats.core.atomic_write import replacing
from facestats.core.shown_text import FORMULA

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_ROWS = 1_048_575  # of an Excel sheet, below its header
MAX_COLUMNS = 16_384
MAX_TEXT = 32_767  # characters of a cell
MAX_HEADER = 255  # bytes of a name in the header of an Excel table
_PLAIN = {"strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": True}


def write_csv(df: pl.DataFrame, path: Path, *, decimal: str = ".", bom: bool = False) -> None:
    """Write a CSV in UTF-8 in one step; a text that begins like a formula gets an apostrophe in front.

    Texts are in quotes, so that a program that expects another separator does not cut one into cells.

    Parameters
    ----------
    df
        A table without lists and structs.
    path
        The file to write.
    decimal
        The decimal sign. With a comma, columns are separated by semicolons, as Excel writes it where people write
        decimal commas.
    bom
        Whether the file begins with a byte order mark, by which Excel knows UTF-8.
    """
    safe = pl.DataFrame([_defuse(s) if s.dtype == pl.String else s for s in plain_texts(df)])
    safe.columns = _defuse(pl.Series("", df.columns, dtype=pl.String)).to_list()
    comma = decimal == ","
    with replacing(path) as temporary:
        safe.write_csv(
            temporary,
            include_bom=bom,
            separator=";" if comma else ",",
            decimal_comma=comma,
            quote_style="non_numeric",
        )


def write_excel(df: pl.DataFrame, path: Path) -> None:
    """Write an Excel file in one step; each text is a text there, and no formula and no link.

    Parameters
    ----------
    df
        A table without lists and structs.
    path
        The file to write.

    Raises
    ------
    ValueError
        If the table is larger than Excel can hold; the message says how much, and what to write instead.
    """
    import xlsxwriter

    lengths = [s.str.len_chars().max() for s in plain_texts(df) if s.dtype == pl.String]
    longest = max((length for length in lengths if isinstance(length, int)), default=0)
    limits = [
        (df.height, MAX_ROWS, "{:,} rows, Excel holds {:,}"),
        (df.width, MAX_COLUMNS, "{:,} columns, Excel holds {:,}"),
        (longest, MAX_TEXT, "a text of {:,} characters, Excel holds {:,} in a cell"),
    ]
    if problems := [text.format(found, most) for found, most, text in limits if found > most]:
        msg = f"{path} cannot be written: the table has {' and '.join(problems)}; write .csv or .parquet instead"
        raise ValueError(msg)
    safe = plain_texts(df)
    safe.columns = distinct_names(df.columns, MAX_HEADER)
    with replacing(path) as temporary, xlsxwriter.Workbook(temporary, _PLAIN) as workbook:
        safe.write_excel(workbook, "table")


def plain_texts(df: pl.DataFrame) -> pl.DataFrame:
    """Turn the columns of named values (Enum, Categorical) into texts."""
    return df.with_columns(
        pl.col(name).cast(pl.String)
        for name, kind in df.schema.items()
        if isinstance(kind, (pl.Enum, pl.Categorical))
    )


def distinct_names(names: Sequence[str], most: int) -> list[str]:
    """Shorten names to `most` bytes, and number those that are then the same in any case: ``age``, ``Age_2``."""
    taken: set[str] = set()
    made = []
    for name in names:
        end, number = "", 1
        while (new := _cut(name, most - len(end)) + end).casefold() in taken:
            number += 1
            end = f"_{number}"
        taken.add(new.casefold())
        made.append(new)
    return made


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")


def _defuse(texts: pl.Series) -> pl.Series:
    return pl.select(
        pl.when(texts.str.contains(FORMULA)).then(pl.lit("'") + texts).otherwise(texts).alias(texts.name)
    ).to_series()
