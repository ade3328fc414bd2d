"""Which configuration a command takes, and the commands that its messages name."""

import shlex
import sys
from pathlib import Path

import pytest

import facestats as fs
from facestats.core import config_source
from facestats.core.config import ConfigError
from facestats.core.config_source import find_config, packaged, program

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """An empty working folder, without a configuration in the environment."""
    monkeypatch.delenv("FACESTATS_CONFIG", raising=False)
    monkeypatch.delenv("FACESTATS_FOLDER", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_falls_back_to_the_demo(empty):
    source = find_config()
    assert source.file.name == "default.yaml"
    assert source.is_packaged
    assert not source.is_demo
    cfg = fs.load_config()
    assert cfg.embeddings.model == "ViT-B-32-quickgelu/openai"
    assert cfg.data_dir == empty.resolve() / "data"
    assert empty not in cfg.cache_file.parents, "nothing is written into a folder that is no project"


def test_the_demo_is_taken_if_somebody_asks(empty):
    cfg = fs.load_config(demo=True)
    assert cfg.embeddings.model.startswith("local-dir:")
    assert cfg.data_dir == empty.resolve() / "data" / "demo"
    assert cfg.command("run") == f"{shlex.quote(program())} run --demo"
    with pytest.raises(ConfigError, match="--demo or --config"):
        find_config("some.yaml", demo=True)


def test_the_nearest_project_counts(empty, monkeypatch):
    (empty / "facestats.yaml").write_text("seed: 1")
    below = empty / "a" / "notebooks"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert find_config().file == empty / "facestats.yaml"
    (empty / "a" / "facestats.yaml").write_text("seed: 2")
    assert find_config().file == empty / "a" / "facestats.yaml"


def test_the_configuration_of_another_program_is_none_of_ours(empty):
    (empty / "config").mkdir()
    (empty / "config" / "default.yaml").write_text("lr: 0.1")
    assert find_config().is_packaged


def test_a_clone_has_its_own_default(empty, monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    assert find_config().file == ROOT / "config" / "default.yaml"
    assert find_config(demo=True).folder == ROOT / "config"


def test_a_folder_names_its_project(empty):
    (empty / "p").mkdir()
    assert find_config("p").file == Path("p/facestats.yaml")


@pytest.mark.parametrize("demo", [False, True])
def test_another_process_finds_the_same_configuration(empty, monkeypatch, demo):
    source = find_config(demo=demo)
    expected = fs.load_config(demo=demo)
    other = empty / "elsewhere"
    other.mkdir()
    for name, value in source.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(other)
    found = fs.load_config()
    assert found.model_dump() == expected.model_dump()
    assert found.command("status").endswith(expected.command("status").partition(" ")[2])


def test_a_command_can_be_typed_as_it_stands(empty, monkeypatch):
    folder = empty / "my project"
    folder.mkdir()
    (folder / "facestats.yaml").write_text("seed: 1")
    words = shlex.split(find_config(folder).command("run", "--from", "03"))
    assert words[1:] == ["run", "--config", "my project/facestats.yaml", "--from", "03"]
    own = Path(sys.executable).parent / "facestats"
    assert words[0] == "facestats" or Path(words[0]) == own
    monkeypatch.setattr(config_source.shutil, "which", lambda _: None)
    monkeypatch.chdir(own.parent)
    assert program() == ("facestats" if not own.is_file() else own.name)


def test_configurations_and_notebooks_come_with_the_package():
    assert {f.name for f in packaged("config").glob("*.yaml")} >= {
        "default.yaml", "demo.yaml", "attributes.yaml", "facestats.yaml",
    }  # fmt: skip
    assert len(list(packaged("notebooks").glob("0*_*.ipynb"))) == 10
