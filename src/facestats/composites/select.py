"""Strict filters: conditions that name their counts when too few rows fulfil them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.progress import say
from facestats.core.tables import check_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from facestats.core.config import Config


def select(master: pl.DataFrame, *, min_faces: int = 1, **conditions: Any) -> pl.DataFrame:
    """Keep the rows that fulfil every condition, or fail naming the count of each; nothing is relaxed.

    Parameters
    ----------
    master
        Any table with the columns that the conditions name.
    min_faces
        Fewer rows are an error.
    conditions
        Column and what it must be: one value, a list of allowed values, a tuple ``(low, high)`` of numbers
        (both included, None for no limit), or None for a missing value.

    Raises
    ------
    ValueError
        If too few rows are left, or a value occurs nowhere in its column.
    """
    return select_rows(master, conditions, min_rows=min_faces)[0]


def groups(table: pl.DataFrame, by: str, *, min_faces: int = 1) -> dict[str, dict[str, Any]]:
    """Name the groups of one column that are large enough to be averaged or compared.

    Parameters
    ----------
    table
        Rows with the column `by`: labels or clusters; rows without a value belong to no group.
    by
        Column of groups.
    min_faces
        Smaller groups are left out, and it is said which.

    Returns
    -------
    Title of each group, such as ``gender female``, and its condition, such as ``{"gender": "female"}``, which
    :func:`facestats.average_faces` takes as `where`; the largest first, of equal ones in the order of values.
    """
    check_columns(table, by, made_by="the stages before; by is the name of a column")
    counts = table.drop_nulls(by).group_by(by).agg(n=pl.len()).sort("n", by, descending=[True, False])
    small = counts.filter(pl.col("n") < min_faces)
    if small.height or counts.is_empty():
        few = f" ({', '.join(f'{value}: {n}' for value, n in small.iter_rows())})" if small.height else ""
        some = f"{small.height} of {counts.height} groups of {by} have"
        say(f"composites.groups: {some} fewer than {min_faces} faces and are left out{few}.")
    large = counts.filter(pl.col("n") >= min_faces)[by].to_list()
    return {f"{by} {value}": {by: value} for value in large}


def select_rows(
    table: pl.DataFrame, conditions: Mapping[str, Any], *, min_rows: int, relax: Sequence[str] = ()
) -> tuple[pl.DataFrame, list[str]]:
    """Keep the rows that fulfil all `conditions`; of those named in `relax`, drop as few as needed, in order.

    Returns
    -------
    The rows, and the conditions dropped.

    Raises
    ------
    ValueError
        If fewer than `min_rows` are left, with the count of each condition; or if a value occurs nowhere.
    """
    check_columns(table, *conditions, made_by="the stages before; the keys of conditions are columns")
    if unknown := [name for name in relax if name not in conditions]:
        msg = f"relax names {unknown}, which are no conditions; these are {list(conditions)}"
        raise ValueError(msg)
    tests = {name: _test(table, name, value) for name, value in conditions.items()}
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
        f"{rows.height} rows fulfil all conditions, but {min_rows} are needed. Each condition alone:{counts}\n"
        "Widen one of them, or lower min_faces if so few are meant."
    )
    raise ValueError(msg)


def describe(conditions: Mapping[str, Any]) -> str:
    """Conditions as one line of text."""
    return ", ".join(_words(name, value) for name, value in conditions.items())


def _words(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        low, high = value
        return f"{'' if low is None else f'{low} <= '}{name}{'' if high is None else f' <= {high}'}"
    if isinstance(value, list):
        return f"{name} in {', '.join(map(str, value))}"
    return f"{name} missing" if value is None else f"{name} = {value}"


def _test(table: pl.DataFrame, name: str, value: Any) -> pl.Expr:
    column = pl.col(name)
    if isinstance(value, tuple):
        if len(value) != 2:
            msg = f"a tuple is a range (low, high), got {value!r} for {name!r}; use a list for several values"
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
        msg = f"no row has {name} = {absent}; present are {sorted(present, key=str)[:20]}"
        raise ValueError(msg)
    return column.cast(pl.String).is_in(wanted) if isinstance(wanted[0], str) else column.is_in(wanted)


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the settings that decide who is in a composite.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    `by`, `min_faces` and `seed`: what table `composites` is recorded with.
    """
    return {"by": cfg.composites.by, "min_faces": cfg.composites.min_faces, "seed": cfg.seed}
