"""The map of the project, read from the code and the store, so that it cannot lie."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.tables import FINGERPRINT, TABLES

if TYPE_CHECKING:
    from facestats.store.store import Store

PACKAGE = Path(__file__).parent


def list_tables(store: Store) -> pl.DataFrame:
    """List every table: who makes it, from what, its columns, and how it stands in `store`.

    Returns
    -------
    `table`, `notebook`, `reads` (List(String)), `columns` (List(String): name and dtype, those of the contract
    where the table is not there yet), `rows`, `failed` (Int64), `state` (fresh, stale, missing).
    """
    status = store.status()
    rows = []
    for name, table in TABLES.items():
        found = status.row(by_predicate=pl.col("table") == name, named=True)
        schema: Any = (
            table.columns if found["state"] == "missing" else dict(store.scan(name).collect_schema())
        )
        columns = [f"{c}: {_short(t)}" for c, t in schema.items() if c != FINGERPRINT]
        rows.append(
            (
                name,
                Path(table.made_by).stem,
                list(table.reads),
                columns,
                found["rows"],
                found["failed"],
                found["state"],
            )
        )
    schema_out: dict[str, Any] = {
        "table": pl.String,
        "notebook": pl.String,
        "reads": pl.List(pl.String),
        "columns": pl.List(pl.String),
        "rows": pl.Int64,
        "failed": pl.Int64,
        "state": pl.String,
    }
    return pl.DataFrame(rows, schema=schema_out, orient="row")


def list_modules() -> pl.DataFrame:
    """List every module of the package: what it is for, its size, and which of ours it imports.

    Returns
    -------
    `module`, `summary` (first line of its docstring), `lines` (Int64), `imports` (List(String)).
    """
    rows = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name == "__init__":
            continue
        summary = (ast.get_docstring(tree) or "").splitlines()[0]
        rows.append((name, summary, len(text.splitlines()), sorted(_imports(tree) - {name})))
    schema_out: dict[str, Any] = {
        "module": pl.String,
        "summary": pl.String,
        "lines": pl.Int64,
        "imports": pl.List(pl.String),
    }
    return pl.DataFrame(rows, schema=schema_out, orient="row")


def _imports(tree: ast.Module) -> set[str]:
    """Modules of ours that a module imports anywhere but for type checking."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = [n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and id(n) not in skipped]
    return {m.removeprefix("facestats.") for m in found if m and m.startswith("facestats.")}


def _short(dtype: pl.DataType | type[pl.DataType]) -> str:
    text = str(dtype)
    return text if len(text) <= 32 else text.partition("(")[0]
