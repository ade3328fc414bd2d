"""Write a table as an SPSS file: numbers with value labels, names that SPSS allows, and a label for each variable."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.atomic_write import replacing
from facestats.surfaces.spreadsheets import distinct_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# limits in bytes of UTF-8
MAX_NAME, MAX_LABEL, MAX_VALUE_LABEL, MAX_TEXT = 64, 256, 120, 32_767
_RESERVED = {*["ALL", "AND", "BY", "EQ", "GE", "GT", "LE", "LT", "NE", "NOT", "OR", "TO", "WITH"]}


def write_spss(df: pl.DataFrame, path: Path, *, labels: Mapping[str, str] | None = None) -> None:
    """Write a ``.sav`` file in one step; what is missing becomes the system-missing value.

    Parameters
    ----------
    df
        A table without lists and structs. An Enum becomes the numbers 1, 2, ... with its categories as value labels,
        a Boolean becomes 0 and 1.
    path
        The file to write.
    labels
        What columns mean; it is cut to the length that SPSS allows. By default the name of each column.

    Raises
    ------
    ValueError
        If a text is longer than SPSS can hold; the message names its column.
    """
    import pyreadstat

    long = [s.name for s in df if s.dtype == pl.String and (s.str.len_bytes() > MAX_TEXT).any()]
    if long:
        msg = f"{path} cannot be written: texts of {', '.join(long)} have more than {MAX_TEXT:,} bytes, the most that SPSS holds; write .csv or .parquet instead"
        raise ValueError(msg)
    names = dict(zip(df.columns, spss_names(df.columns), strict=True))
    numbers = df.select(_as_number(name, kind) for name, kind in df.schema.items())
    told = labels or {}
    with replacing(path) as temporary:
        pyreadstat.write_sav(
            numbers.rename(names),
            temporary,
            column_labels={new: _cut(told.get(old, old), MAX_LABEL) for old, new in names.items()},
            variable_value_labels={
                names[name]: values for name, kind in df.schema.items() if (values := _value_labels(kind))
            },
            variable_measure={
                names[name]: "scale" if kind.is_numeric() and name != "cluster" else "nominal"
                for name, kind in df.schema.items()
            },
            variable_format={
                names[name]: "F8.0"
                for name, kind in df.schema.items()
                if not kind.is_float() and kind != pl.String
            },
        )


def spss_names(names: Sequence[str]) -> list[str]:
    """Make names that SPSS allows: a letter first, no spaces or signs, no word of its syntax, at most 64 bytes."""
    plain = []
    for name in names:
        text = re.sub(r"[^\w.]", "_", name)
        text = text if text[:1].isalpha() else f"v_{text}"
        text = text.rstrip("._") or "v"
        plain.append(f"{text}_1" if text.upper() in _RESERVED else text)
    return [name.rstrip(".") for name in distinct_names(plain, MAX_NAME)]


def _as_number(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(kind, pl.Enum):
        return column.to_physical().cast(pl.Float64) + 1
    if kind.is_numeric() or kind == pl.Boolean:
        return column.cast(pl.Float64)
    return column.cast(pl.String)


def _value_labels(kind: pl.DataType) -> dict[int | float, str]:
    if kind == pl.Boolean:
        return {0: "no", 1: "yes"}
    options = kind.categories.to_list() if isinstance(kind, pl.Enum) else []
    return {number: _cut(option, MAX_VALUE_LABEL) for number, option in enumerate(options, start=1)}


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")
