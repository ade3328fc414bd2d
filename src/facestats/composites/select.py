"""Strict filters: if too few rows fulfil the conditions, the error gives the count of each condition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.display import count_of
from facestats.core.progress import say
from facestats.core.tables import check_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def select(master: pl.DataFrame, *, min_faces: int = 1, **conditions: Any) -> pl.DataFrame:
    """Keep the rows that fulfil every condition; if there are too few, raise an error that counts each condition.

    Parameters
    ----------
    master
        Any table that has the columns named by the conditions.
    min_faces
        Smallest allowed number of rows in the result.
    conditions
        Column and its allowed values: one value, a list of values, a range ``(low, high)`` of numbers as a tuple (both
        ends included, None for no limit), or None for a missing value.

    Returns
    -------
    The rows that fulfil all conditions, with all columns, in the same order.

    Raises
    ------
    ValueError
        If too few rows are left, or a value does not occur in its column.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> table = pl.DataFrame({"image_id": ["a", "b", "c"], "gender": ["female", "female", "male"], "age": [25, 60, 30]})
    >>> fs.composites.select(table, gender="female", age=(18, 40))["image_id"].to_list()
    ['a']
    """
    return select_rows(master, conditions, min_rows=min_faces)[0]


def groups(
    table: pl.DataFrame, by: str | Sequence[str] | Sequence[Sequence[str]], *, min_faces: int = 1
) -> dict[str, dict[str, Any]]:
    """List the groups that are large enough to be averaged or compared.

    Parameters
    ----------
    table
        Rows with the column `by`, such as labels or clusters; rows without a value belong to no group.
    by
        Column of groups, or several columns: a group then agrees in all of them. A list of lists, such as
        :func:`facestats.composites.columns`, gives the groups of each in turn.
    min_faces
        Smallest number of faces in a group. Smaller groups are left out, and a message lists them.

    Returns
    -------
    A dictionary from the title of each group, such as ``gender female``, to its condition, such as
    ``{"gender": "female"}``, for the parameter `where` of :func:`facestats.average_faces`. The largest group comes
    first; groups of equal size are in the order of their values.

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> table = pl.DataFrame({"image_id": ["a", "b", "c"], "gender": ["male", "female", "female"]})
    >>> fs.composites.groups(table, "gender")
    {'gender female': {'gender': 'female'}, 'gender male': {'gender': 'male'}}
    """
    given = [by] if isinstance(by, str) else list(by)
    if any(not isinstance(column, str) for column in given):
        return {k: v for entry in given for k, v in groups(table, entry, min_faces=min_faces).items()}
    columns = [str(column) for column in given]
    check_columns(table, *columns, made_by="the stages before; by names columns")
    counts = table.drop_nulls(columns).group_by(columns).agg(n=pl.len())
    counts = counts.sort("n", *columns, descending=[True, *[False] * len(columns)])
    small, title = counts.filter(pl.col("n") < min_faces), " and ".join(columns)
    if counts.is_empty():
        say(f"composites.groups: there are no groups of {title}, since no row has a value.")
    elif small.height:
        sizes = ", ".join(f"{', '.join(map(str, row[:-1]))}: {row[-1]}" for row in small.iter_rows())
        share = f"{small.height} of {count_of(counts.height, 'group')} of {title}"
        have, are = ("has", "is") if small.height == 1 else ("have", "are")
        say(
            f"composites.groups: {share} {have} fewer than {count_of(min_faces, 'face')} and {are} left out ({sizes})."
        )
    large = counts.filter(pl.col("n") >= min_faces).select(columns)
    rules = [dict(zip(columns, row, strict=True)) for row in large.iter_rows()]
    return {", ".join(f"{name} {value}" for name, value in rule.items()): rule for rule in rules}


def select_rows(
    table: pl.DataFrame, conditions: Mapping[str, Any], *, min_rows: int, relax: Sequence[str] = ()
) -> tuple[pl.DataFrame, list[str]]:
    """Keep the rows that fulfil all `conditions`; drop conditions named in `relax`, in order, only as far as needed.

    Returns
    -------
    The rows, and the names of the dropped conditions.

    Raises
    ------
    ValueError
        If fewer than `min_rows` rows are left (the message counts each condition), or a value does not occur.
    """
    check_columns(table, *conditions, made_by="the stages before; the keys of conditions are columns")
    if unknown := [name for name in relax if name not in conditions]:
        msg = f"relax must name conditions, which are {list(conditions)}; got {unknown}"
        raise ValueError(msg)
    tests = {name: _condition(table, name, value) for name, value in conditions.items()}
    dropped: list[str] = []
    for name in [None, *relax]:
        dropped += [] if name is None else [name]
        kept = [test for key, test in tests.items() if key not in dropped]
        rows = table.filter(*kept) if kept else table
        if rows.height >= min_rows:
            return rows, dropped
    counts = "".join(
        f"\n  - {describe({name: conditions[name]})}: {table.filter(test).height} of {table.height}"
        for name, test in tests.items()
    )
    msg = (
        f"{count_of(rows.height, 'row fulfils', 'rows fulfil')} all conditions, but"
        f" {count_of(min_rows, 'is', 'are')} needed. Each condition alone:{counts}\n"
        "Widen one of the conditions, or lower min_faces if so few faces are intended."
    )
    raise ValueError(msg)


def describe(conditions: Mapping[str, Any]) -> str:
    """Write conditions as one line of text."""
    return ", ".join(_describe_condition(name, value) for name, value in conditions.items())


def _describe_condition(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        low, high = value
        return f"{'' if low is None else f'{low} <= '}{name}{'' if high is None else f' <= {high}'}"
    if isinstance(value, list):
        return f"{name} in {', '.join(map(str, value))}"
    return f"{name} missing" if value is None else f"{name} = {value}"


def _condition(table: pl.DataFrame, name: str, value: Any) -> pl.Expr:
    """Write one condition as a Polars expression."""
    column = pl.col(name)
    if isinstance(value, tuple):
        if len(value) != 2:
            msg = f"a tuple must be a range (low, high), got {value!r} for {name!r}. Use a list for several values."
            raise ValueError(msg)
        low, high = value
        return (pl.lit(value=True) if low is None else column >= low) & (
            pl.lit(value=True) if high is None else column <= high
        )
    if value is None:
        return column.is_null()
    wanted = value if isinstance(value, list) else [value]
    present = set(table[name].drop_nulls().unique().to_list())
    if absent := [v for v in wanted if v not in present]:
        msg = f"no row has {name} = {absent}; present are {sorted(present, key=str)[:20]}. Use one of them."
        raise ValueError(msg)
    return column.cast(pl.String).is_in(wanted) if isinstance(wanted[0], str) else column.is_in(wanted)
