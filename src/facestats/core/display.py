"""Tables as a notebook shows them: whole sentences, sensible digits, and how many rows there are."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import polars as pl

N_ROWS = 20
N_COLUMNS = 12


def show(table: pl.DataFrame, *, n_rows: int = N_ROWS, title: str = "") -> ShownTable:
    """Show a table in a notebook: nothing is cut off, numbers have three digits.

    Parameters
    ----------
    table
        Any frame; more than 12 columns are refused, because nobody can read them: select some.
    n_rows
        How many rows to show; the line below says how many there are.
    title
        A line above the table.

    Returns
    -------
    What a notebook displays; as text in a terminal.

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
    """
    if table.width > N_COLUMNS:
        msg = (
            f"a table of {table.width} columns cannot be read; {N_COLUMNS} are shown at most. Choose some:"
            f" table.select({table.columns[0]!r}, ...). It has {table.columns}."
        )
        raise ValueError(msg)
    return ShownTable(table, n_rows, title)


class ShownTable:
    """A table for the eye; :func:`show` makes it."""

    def __init__(self, table: pl.DataFrame, n_rows: int, title: str) -> None:
        self.title, self.columns = title, table.columns
        self.rows = [[format_value(value) for value in row] for row in table.head(n_rows).iter_rows()]
        self.numeric = [dtype.is_numeric() for dtype in table.dtypes]
        self.note = f"{len(self.rows)} of {table.height:,} rows" if table.height > len(self.rows) else ""
        if not table.height:
            self.note = "no rows"

    def __repr__(self) -> str:
        lines = [self.columns, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        texts = [
            "  ".join(
                cell.rjust(width) if number else cell.ljust(width)
                for cell, width, number in zip(line, widths, self.numeric, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*([self.title] * bool(self.title)), *texts, *([self.note] * bool(self.note))])

    def _repr_html_(self) -> str:
        align = ["right" if number else "left" for number in self.numeric]
        head = "".join(
            f'<th style="text-align: {a}">{html.escape(c)}</th>'
            for c, a in zip(self.columns, align, strict=True)
        )
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align: {a}; white-space: pre-wrap">{html.escape(cell)}</td>'
                for cell, a in zip(row, align, strict=True)
            )
            + "</tr>"
            for row in self.rows
        )
        title = f"<p>{html.escape(self.title)}</p>" if self.title else ""
        note = f"<p>{html.escape(self.note)}</p>" if self.note else ""
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def format_value(value: Any) -> str:
    """Write one value for the eye: three digits, lists with commas, nothing for null."""
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
    """Write a number with three digits that count, whole thousands with commas."""
    if value != value:  # noqa: PLR0124 - NaN
        return "not a number"
    if abs(value) >= 1000 and abs(value) != float("inf"):
        return f"{value:,.0f}"
    if value and abs(value) < 0.001:
        return f"{value:.1e}"
    text = f"{value:.3f}" if abs(value) < 1 else f"{value:.3g}"
    return text.rstrip("0").rstrip(".") if "." in text else text
