"""A project of one's own."""

from pathlib import Path

import pytest

import facestats as fs
from facestats.core.config import ConfigError
from facestats.surfaces.project.init import init_project
from facestats.surfaces.project.load import has_files

ROOT = Path(__file__).parents[3]


def test_a_new_project_can_be_loaded_and_has_the_defaults_of_the_package(tmp_path):
    made = init_project(tmp_path / "mine")
    assert all(is_new for _, is_new in made)
    cfg = fs.load_config(tmp_path / "mine")
    assert cfg.raw_dir == tmp_path / "mine" / "data" / "raw"
    assert cfg.attributes == fs.load_config(ROOT / "config" / "default.yaml").attributes
    assert len(list((tmp_path / "mine" / "notebooks").glob("*.ipynb"))) == 10
    assert not has_files(cfg), "the README is no picture"


def test_what_is_there_stays_as_it_is(tmp_path):
    (tmp_path / "facestats.yaml").write_text("seed: 5\n")
    made = dict(init_project(tmp_path))
    assert not made[tmp_path / "facestats.yaml"]
    assert made[tmp_path / "attributes.yaml"]
    assert fs.load_config(tmp_path).seed == 5
    assert not any(dict(init_project(tmp_path)).values())


def test_a_clone_is_a_project_already():
    with pytest.raises(ConfigError, match="is a clone of facestats.*facestats init FOLDER"):
        init_project(ROOT)
