"""Draw up the map of the project from its code and its tables: what makes each table, and what imports what."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from facestats.core.tables import FINGERPRINT, TABLES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from facestats.store.store import Store

    DataType: TypeAlias = "pl.DataType | type[pl.DataType]"

__all__ = ["list_modules", "list_tables"]

PACKAGE = Path(__file__).parent
ROOT = PACKAGE.name  # facestats


def list_tables(store: Store) -> pl.DataFrame:
    """List every table of the project: what makes it, what it is made from, its columns, and its state in `store`.

    Parameters
    ----------
    store
        Tables of the project; it may be empty.

    Returns
    -------
    One row per table, in the order in which they are made: `table`, `notebook` (String), `reads` (List(String), tables
    it is made from), `columns` (List(String), each ``name: dtype``; if the table is missing, those that it must have),
    `rows`, `failed` (Int64), `state` (String: fresh, stale, damaged, missing).

    Examples
    --------
    >>> import facestats as fs
    >>> tables = fs.schematics.list_tables(fs.testing.example_project().store)
    >>> tables.select("table", "notebook", "rows", "state").row(1)
    ('embeddings', '02_embeddings', 12, 'fresh')
    >>> tables["columns"][1][0]
    'image_id: String'
    """
    status = store.status()
    rows = []
    for name, table in TABLES.items():
        found = status.row(by_predicate=pl.col("table") == name, named=True)
        missing = found["state"] == "missing"
        columns: Mapping[str, DataType] = table.columns if missing else store.scan(name).collect_schema()
        listed = [f"{c}: {_short(t)}" for c, t in columns.items() if c != FINGERPRINT]
        state = found["rows"], found["failed"], found["state"]
        rows.append((name, Path(table.made_by).stem, list(table.reads), listed, *state))
    schema: dict[str, DataType] = {
        "table": pl.String,
        "notebook": pl.String,
        "reads": pl.List(pl.String),
        "columns": pl.List(pl.String),
        "rows": pl.Int64,
        "failed": pl.Int64,
        "state": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def list_modules() -> pl.DataFrame:
    """List every module of the package: its purpose, its size, and the modules of the package that it imports.

    Returns
    -------
    One row per module: `module` (String, its name without ``facestats.``), `summary` (String, first line of its
    docstring), `lines` (Int64), `imports` (List(String), modules of this package; imports for type checking are left
    out).

    Examples
    --------
    >>> import polars as pl
    >>> import facestats as fs
    >>> fs.schematics.list_modules().filter(module="audit.match_truth").select("summary", "imports").row(0)
    ('Match known truth with a table by picture.', ['core.tables'])
    """
    paths = {_module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
    rows = []
    for name, path in paths.items():
        if name == ROOT:
            continue
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        summary = (ast.get_docstring(tree) or "").partition("\n")[0]
        imports = [m.removeprefix(f"{ROOT}.") for m in sorted(_imports(tree, paths) - {name, ROOT})]
        rows.append((name.removeprefix(f"{ROOT}."), summary, len(text.splitlines()), imports))
    schema: dict[str, DataType] = {
        "module": pl.String,
        "summary": pl.String,
        "lines": pl.Int64,
        "imports": pl.List(pl.String),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def _module_name(path: Path) -> str:
    """Name of the module in a file of the package, such as ``facestats.audit.texts``."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def _imports(tree: ast.Module, modules: Collection[str]) -> set[str]:
    """Which of `modules` a module imports, in any form, except for type checking."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from facestats.core import tables` imports a module, `from facestats.store import Store` a name of one
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in names}
    return found & set(modules)


def _short(dtype: DataType) -> str:
    """Name of a type; without its parameters if they make it long, as those of an Enum with many options."""
    text = str(dtype)
    return text if len(text) <= 32 else text.partition("(")[0]


def __dir__() -> list[str]:
    return __all__
