"""The wheel is whole: installed into an empty environment, it makes a project and runs the demo from an empty folder."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def facestats(wheel, tmp_path_factory):
    """The program of an environment that has the wheel; the other packages come from this environment, without network."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps", "--no-index", "-q"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # a plain line adds the folder and not the .pth files in it, so that no other facestats is found
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts / "facestats"


def run(program, *words, cwd, code=0):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("FACESTATS", "PYTHONPATH", "COV_"))}
    env["JUPYTER_PATH"] = str(
        Path(sys.prefix) / "share" / "jupyter"
    )  # templates and kernels of the other packages
    done = subprocess.run([program, *words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_wheel_holds_configurations_attributes_notebooks_and_types(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        f"facestats/project/config/{n}.yaml" for n in ("default", "demo", "attributes", "facestats")
    } <= set(names)
    assert sum(name.startswith("facestats/project/notebooks/") for name in names) == 10
    assert "facestats/py.typed" in names
    assert not any("demo/training" in name for name in names)
    metadata = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith("METADATA"))).decode()
    for line in (
        "Author: ",
        "License-Expression: MIT",
        "Classifier: Typing :: Typed",
        "Provides-Extra: heic",
    ):
        assert line in metadata


def test_a_project_is_made_and_says_what_comes_next(facestats, tmp_path):
    out = run(facestats, "init", "mine", cwd=tmp_path)
    assert f"{facestats} run --config mine/facestats.yaml" in out
    assert "there are no pictures in" in run(facestats, "run", cwd=tmp_path / "mine", code=4)
    assert "init my_project" in run(facestats, "run", cwd=tmp_path, code=4)


@pytest.mark.slow
def test_the_demo_runs_from_an_empty_folder(facestats, tmp_path):
    run(facestats, "demo", "--n", "24", cwd=tmp_path)
    out = run(facestats, "run", "--demo", cwd=tmp_path)
    assert "(the demo)" in out
    assert (tmp_path / "data" / "demo" / "report" / "index.html").is_file()
    assert (tmp_path / "data" / "demo" / "processed" / "master.parquet").exists()
    assert "stale" not in run(facestats, "status", "--demo", cwd=tmp_path)
