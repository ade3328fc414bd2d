"""A project with one picture without a face, and small notebooks for it."""

from __future__ import annotations

import shutil

import nbformat
import pytest
from PIL import Image

from tests.conftest import ROOT


def write_notebook(path, *cells):
    """A notebook whose first code cell is the cell of parameters."""
    first, *others = map(nbformat.v4.new_code_cell, cells)
    first.metadata["tags"] = ["parameters"]
    path.parent.mkdir(exist_ok=True)
    kind = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(nbformat.v4.new_notebook(cells=[first, *others], metadata=kind), path)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/attributes.yaml", tmp_path / "config")
    models = "embeddings: {model: 'local-dir:${package}/demo/clip'}\ntext_labels: {model: '${package}/demo/bart'}\n"
    (tmp_path / "config/c.yaml").write_text(f"data_dir: ../data\n{models}")
    (tmp_path / "data/raw").mkdir(parents=True)
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "data/raw/grey.png")
    return tmp_path
