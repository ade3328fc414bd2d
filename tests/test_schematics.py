import ast

import polars as pl

import facestats as fs
from facestats.core.tables import TABLES
from facestats.schematics import _imports


def test_no_line_of_the_modules_is_empty():
    modules = fs.schematics.list_modules()
    assert modules.filter(pl.col("module") == "", pl.col("lines") == 0).height == 0
    assert modules.filter(pl.col("summary").str.strip_chars() == "")["module"].to_list() == []
    assert modules["module"].n_unique() == modules.height
    assert {"core.tables", "audit", "audit.accuracy", "schematics", "surfaces.cli.commands"} <= {
        *modules["module"]
    }


def test_imports_are_those_of_the_code_and_no_others():
    modules = fs.schematics.list_modules()
    imports = dict(modules.select("module", "imports").iter_rows())
    assert imports["audit.match_truth"] == ["core.tables"]
    assert imports["audit.label_sources"] == []
    assert {"attributes", "clusters", "store"} <= set(imports["testing"])
    assert {name for found in imports.values() for name in found} <= {*modules["module"]}


def test_every_form_of_import_is_seen_but_for_type_checking():
    code = """
import facestats.store.locks
from facestats import audit, __version__
from facestats.core import tables as t, stats
from facestats.store.store import Store
if TYPE_CHECKING:
    from facestats.core.config import Config
def later():
    from facestats.plots import bars
"""
    names = ("audit", "core", "core.config", "core.stats", "core.tables", "plots", "plots.bars", "store")
    known = {"facestats", *(f"facestats.{n}" for n in (*names, "store.locks", "store.store"))}
    assert {name.removeprefix("facestats.") for name in _imports(ast.parse(code), known)} == {
        "facestats",
        "audit",
        "core.stats",
        "core.tables",
        "plots.bars",
        "store.locks",
        "store.store",
    }


def test_tables_are_listed_as_they_stand_in_the_store():
    tables = fs.schematics.list_tables(fs.testing.example_project().store)
    assert tables["table"].to_list() == list(TABLES)
    row = tables.row(by_predicate=pl.col("table") == "embeddings", named=True)
    assert (row["notebook"], row["reads"]) == ("02_embeddings", ["faces"])
    assert (row["rows"], row["failed"], row["state"]) == (12, 0, "fresh")
    assert row["columns"] == [
        "image_id: String",
        "status: Enum",
        "error: String",
        "embedding: Array(Float32, shape=(8,))",
        "embedding_full: Array(Float32, shape=(8,))",
    ]


def test_a_missing_table_lists_the_columns_that_it_must_have(tmp_path):
    tables = fs.schematics.list_tables(fs.Store(tmp_path))
    assert tables["state"].unique().to_list() == ["missing"]
    assert tables["rows"].sum() == tables["failed"].sum() == 0
    for name, columns in tables.select("table", "columns").rows():
        assert [c.split(":")[0] for c in columns] == list(TABLES[name].columns)
