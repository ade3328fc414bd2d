"""The lines of ``facestats status``: each table with its state, and the command that mends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import facestats as fs
from facestats.core.display import format_value
from facestats.core.tables import TABLES
from facestats.store.locks import StoreError
from facestats.surfaces.notebooks.expected_tables import expected_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from facestats.core.config import Config


def describe_tables(config: Config, *, verify: bool = False) -> Iterator[str]:
    """Describe every table in a line; if it is not fresh, the next line holds the command that makes it so.

    With `verify`, every file of the tables is compared with its checksum.

    Raises
    ------
    StoreError
        After the last line, if a table is damaged.
    """
    expected = expected_tables(config)
    store = fs.Store(config.data_dir)
    # an optional table that nobody asked for may be missing; that of ratings is, if no trait can be predicted
    unread = config.ratings_file.is_file() and not store.provenance("reliability")
    wanted = {*expected, *(["ratings"] if unread else [])}
    table = store.status(expected, verify=verify)
    yield _line(table.columns)
    for row in table.iter_rows(named=True):
        yield _line(row.values())
        if row["state"] in {"stale", "damaged"} or (row["state"] == "missing" and row["table"] in wanted):
            first = row["run_from"] or Path(TABLES[row["table"]].made_by).name[:2]
            yield f"{'':<15} to mend it: {config.command('run', '--from', first)}"
    if names := table.filter(state="damaged")["table"].to_list():
        msg = f"damaged: {', '.join(names)}. The lines above name the files, and what to type."
        raise StoreError(msg)


def count_failed_pictures(config: Config) -> tuple[int, int]:
    """Count the pictures in table faces that could not be used, and all of them; (0, 0) if there is no table."""
    table = fs.Store(config.data_dir).status()
    ((rows, failed),) = table.filter(table="faces").select("rows", "failed").rows()
    return failed or 0, rows or 0


def _line(cells: Iterable[Any]) -> str:
    name, rows, failed, state, why, _ = map(format_value, cells)
    return f"{name:<15} {rows:>9} {failed:>7}  {state:<8} {why}".rstrip()
