"""The example scripts run on a finished project, and print what their docstrings announce."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

import facestats as fs

SCRIPTS = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
pytestmark = pytest.mark.slow


def load(name):
    path = next(p for p in SCRIPTS if p.stem == name)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_there_are_five():
    assert len(SCRIPTS) == 5


def test_label_a_folder(demo, tmp_path, capsys):
    raw = fs.load_config(demo[0]).raw_dir
    for i, picture in enumerate(sorted(raw.glob("character_*"))[:3]):
        (tmp_path / f"{i}{picture.suffix}").write_bytes(picture.read_bytes())
    load("label_folder")(str(tmp_path), str(demo[0]))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["error"] for line in lines] == [None] * 3
    assert all(line["attributes"]["Age"] for line in lines)


def test_search_by_text(demo, capsys):
    load("search_by_text")("a person with red hair", str(demo[0]))
    assert "similarity" in capsys.readouterr().out


def test_composite_of_a_filter(demo, tmp_path):
    out = tmp_path / "average.png"
    load("composite_of_filter")([str(out), "gender=female", "--config", str(demo[0])])
    with Image.open(out) as picture:
        assert picture.size == (512, 512)
    assert fs.composites.read(out)["settings"]["where"] == "gender = female"


def test_add_an_attribute(demo, capsys):
    load("add_attribute")(str(demo[0]))
    assert "smiling" in capsys.readouterr().out


def test_plug_in_another_clip(demo, capsys):
    load("other_clip")(str(demo[0]))
    assert "hair_color" in capsys.readouterr().out
