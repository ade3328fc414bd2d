"""Display tables in a notebook or a terminal: no text is cut off, numbers have three significant digits.

Numbers and lists of names in sentences are written here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from facestats.core.shown_text import for_html, visible

N_ROWS = 20
MAX_COLUMNS = 12


def show(
    table: pl.DataFrame | pl.LazyFrame | pl.Series, *, n_rows: int = N_ROWS, title: str = ""
) -> ShownTable:
    """Show a table in a notebook; no text is cut off, and numbers have three significant digits.

    Parameters
    ----------
    table
        Any frame of at most 12 columns; wider tables are not readable. A lazy frame is collected, and a series becomes
        a table of one column.
    n_rows
        Number of rows to show. If the table has more, a line below it says how many.
    title
        A line above the table.

    Returns
    -------
    An object that a notebook displays as an HTML table and a terminal prints as text.

    Raises
    ------
    ValueError
        If the table has more than 12 columns.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> fs.show(pl.DataFrame({"label": ["black", "brown"], "share": [0.61234, 0.38766]}))
    label  share
    black  0.612
    brown  0.388
    >>> captions = fs.testing.example_project().captions
    >>> fs.show(captions, n_rows=1, title="Captions")
    Captions
    image_id      text
    face_000.png  A child with black hair.
    1 of 12 rows
    """
    if isinstance(table, pl.Series):
        table = table.to_frame()
    names = table.collect_schema().names()
    if len(names) > MAX_COLUMNS:
        msg = (
            f"a table of {len(names)} columns is not readable; at most {MAX_COLUMNS} are shown. Select some of them:"
            f" table.select({names[0]!r}, ...). The columns are {list_columns(names)}."
        )
        raise ValueError(msg)
    return ShownTable(table.lazy().collect(), n_rows, title)


class ShownTable:
    """A table as text and as HTML; :func:`show` makes it."""

    def __init__(self, table: pl.DataFrame, n_rows: int, title: str) -> None:
        self.title, self.columns = title, table.columns
        self.rows = [[format_value(value) for value in row] for row in table.head(n_rows).iter_rows()]
        self.numeric = [dtype.is_numeric() for dtype in table.dtypes]
        self.note = f"{len(self.rows)} of {table.height:,} rows" if table.height > len(self.rows) else ""
        if not table.height:
            self.note = "no rows"

    def __repr__(self) -> str:
        lines = [[visible(cell, one_line=True) for cell in line] for line in (self.columns, *self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        texts = [
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(line, widths, self.numeric, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join(
            [*([visible(self.title)] * bool(self.title)), *texts, *([self.note] * bool(self.note))]
        )

    def _repr_html_(self) -> str:
        align = ["right" if number else "left" for number in self.numeric]
        head = "".join(
            f'<th style="text-align: {a}">{for_html(c)}</th>'
            for c, a in zip(self.columns, align, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align: {a}; white-space: pre-wrap">{for_html(cell)}</td>'
                for cell, a in zip(row, align, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        title = f"<p>{for_html(self.title)}</p>" if self.title else ""
        note = f"<p>{for_html(self.note)}</p>" if self.note else ""
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def format_value(value: Any) -> str:
    """Write one value of a table as text: numbers as :func:`format_number`, lists with commas, null as nothing."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, (pl.Series, Sequence)) and not isinstance(value, str):
        return ", ".join(format_value(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value)
    if isinstance(value, int):
        return f"{value:,}"
    return "" if value is None else str(value)


def format_number(value: float) -> str:
    """Write a number with three significant digits, or three decimals below 1; thousands are whole, with commas."""
    if value != value:  # noqa: PLR0124 - NaN
        return "not a number"
    if 999.5 <= abs(value) < float("inf"):  # from 999.5 on, three significant digits round to 1000
        return f"{value:,.0f}"
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    text = f"{value:.3f}" if abs(value) < 1 else f"{value:.3g}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def count_of(n: int, one: str, many: str = "") -> str:
    """Write a number and what it counts: ``1 face``, ``2 faces``; `many` is the plural if it is not `one` with an s."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def list_columns(names: Sequence[str]) -> str:
    """Write the first 12 names of columns in quotation marks, and how many more there are."""
    shown = ", ".join(map(repr, names[:MAX_COLUMNS]))
    return f"{shown} and {len(names) - MAX_COLUMNS} more" if len(names) > MAX_COLUMNS else shown
