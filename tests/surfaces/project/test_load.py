"""Notebooks that are opened by hand find the project, or the demo if there are no pictures, and say so."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# a kernel has a shell with an attribute `kernel`; this stands for one
IN_NOTEBOOK = """
import sys, IPython
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance().kernel = object()
import facestats as fs
cfg = fs.load_config()
print("model", cfg.embeddings.model)
print("raw", cfg.raw_dir)
"""
SCRIPT = IN_NOTEBOOK.replace("InteractiveShell.instance().kernel = object()", "")


@pytest.fixture
def clone(tmp_path):
    """The folders of a clone that decide: configuration (a small demo) and notebooks."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    demo = tmp_path / "config" / "demo.yaml"
    demo.write_text(demo.read_text().replace("pictures: 240", "pictures: 1"))
    (tmp_path / "notebooks").mkdir()
    return tmp_path


def run(code, folder):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout + done.stderr


def test_a_notebook_of_an_empty_clone_takes_the_demo_and_says_so(clone):
    out = run(IN_NOTEBOOK, clone / "notebooks")
    assert "this is the demo, drawn characters and toy models." in out
    assert "model local-dir:" in out
    assert any((clone / "data" / "demo" / "raw").rglob("*.jpg")) or any(
        (clone / "data" / "demo" / "raw").rglob("*.png")
    )


def test_from_the_first_picture_on_the_project_is_the_users(clone):
    (clone / "data" / "raw").mkdir(parents=True)
    (clone / "data" / "raw" / "anna.jpg").write_bytes(b"x")
    out = run(IN_NOTEBOOK, clone / "notebooks")
    assert "demo" not in out
    assert "model ViT-B-32-quickgelu/openai" in out


def test_a_project_file_is_never_overruled(clone):
    (clone / "facestats.yaml").write_text("attributes: config/attributes.yaml\n")
    assert "demo" not in run(IN_NOTEBOOK, clone / "notebooks")


def test_a_script_never_takes_the_demo_unasked(clone):
    assert "model ViT-B-32-quickgelu/openai" in run(SCRIPT, clone / "notebooks")
