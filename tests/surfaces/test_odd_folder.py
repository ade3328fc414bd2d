"""A folder is a name, never a pattern: everything works in a folder whose name holds signs of patterns and formats."""

from __future__ import annotations

import ast
import os
import shutil
import tempfile
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats.inputs.textfiles import read_table
from facestats.surfaces.notebooks.run import run_notebooks
from tests.conftest import ROOT
from tests.surfaces.conftest import write_notebook

NAME = "set [1] ü? {x} *"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")


@pytest.fixture
def odd(tmp_path):
    """The folder, beside neighbours that its name matches as a pattern."""
    for name in (NAME, "set 1 üa {x} b"):
        (tmp_path / name).mkdir()
    return tmp_path / NAME


@pytest.mark.slow
def test_the_example_project_is_the_same_there(odd, monkeypatch):
    usual = fs.testing.example_project()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    there = fs.testing.example_project.__wrapped__()
    assert there.folder.parent == odd
    for name in ("faces", "embeddings", "attributes", "text_labels", "master", "clusters"):
        assert there.store.read(name).equals(usual.store.read(name)), name
    assert set(there.store.status()["state"]) == {"fresh", "missing"}
    mean = fs.average_faces(there.master, there.crops_dir, method="mean")
    assert mean.n == 12


def test_a_table_of_several_parts_and_one_that_grows(odd, monkeypatch):
    monkeypatch.setattr("facestats.store.table_files.PART_ROWS", 2)
    store = fs.Store(odd)

    def label(chunk):
        return chunk.select("image_id", label=pl.lit("x"))

    for n in (5, 9):
        rows = pl.DataFrame({"image_id": [f"{i}" for i in range(n)]})
        store.build("attributes", rows, label, chunk_size=2, progress=False)
        assert store.read("attributes")["image_id"].to_list() == rows["image_id"].to_list()
    assert len(list((store.tables_dir / "attributes.parquet").iterdir())) > 1


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".json"])
def test_a_table_of_the_user_is_read_there_and_its_neighbour_is_not(odd, suffix):
    write = {".parquet": "write_parquet", ".csv": "write_csv", ".json": "write_json"}[suffix]
    for folder, text in ((odd, "mine"), (odd.parent / "set 1 üa {x} b", "not mine")):
        getattr(pl.DataFrame({"file_name": ["a.png"], "text": [text]}), write)(folder / f"metadata{suffix}")
    assert read_table(odd / f"metadata{suffix}")["text"].to_list() == ["mine"]
    Image.new("RGB", (32, 32)).save(odd / "a.png")
    assert fs.list_captions(odd)["text"].to_list() == ["mine"]


@pytest.mark.slow
def test_notebooks_run_there(odd, project):
    there = odd / "project"
    for name in ("config", "data"):
        shutil.copytree(project / name, there / name)
    cells = ("import facestats as fs", "cfg = fs.load_config()", "fs.list_images(cfg.raw_dir)['image_id'][0]")
    write_notebook(there / "notebooks/01_a.ipynb", *cells)
    page = run_notebooks(there / "config/c.yaml")
    assert page == there / "data/report/index.html"
    assert "grey.png" in page.read_text()


def test_every_call_that_could_take_a_path_for_a_pattern_says_that_it_is_none():
    """Polars takes `[`, `?` and `*` in a path for a pattern, unless ``glob=False`` is given."""
    found = []
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if getattr(node.func.value, "id", "") != "pl" or node.func.attr == "read_parquet_metadata":
                continue
            reads = node.func.attr.startswith(("read_", "scan_"))
            in_memory = ast.unparse(node.args[0]).startswith("BytesIO(") if node.args else False
            if reads and not in_memory and "glob=False" not in ast.unparse(node):
                found.append(f"{Path(file).name}:{node.lineno} {ast.unparse(node)}")
    assert found == []
