"""The grammar of the public API, held by a test rather than by memory."""

import ast
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import facestats as fs

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/facestats"
PUBLIC = [n for n in fs.__all__ if inspect.isfunction(getattr(fs, n))]
VERBS = (
    *(
        "list",
        "align",
        "embed",
        "label",
        "merge",
        "cluster",
        "project",
        "average",
        "search",
        "select",
        "map",
        "load",
    ),
    *("compare", "profile", "name", "relate", "find", "morph", "mirror", "read"),
    *("write", "pick", "fit", "classify", "rate", "audit"),
    *("explore", "query"),
)
PLOTS = [n for n in fs.plots.__all__ if inspect.isfunction(getattr(fs.plots, n))]
MODULES = sorted(p for p in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("name", PUBLIC)
def test_signature(name):
    function = getattr(fs, name)
    parameters = inspect.signature(function).parameters.values()
    assert sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters) <= 3
    assert all(p.annotation is not p.empty for p in parameters)
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty
    assert function.__doc__
    assert name.split("_")[0] in VERBS or name in {
        "check_table",
        "confident",
        "eigenfaces",
        "rater_effects",
        "rater_reliability",
        "sharpness_ratio",
    }


@pytest.mark.parametrize("name", PLOTS)
def test_plots_take_axes_last_and_return_them(name):
    signature = inspect.signature(getattr(fs.plots, name))
    assert list(signature.parameters)[-1] == "ax"
    assert signature.return_annotation == "Axes"
    assert not {"show", "save"} & set(signature.parameters)


def test_import_is_light():
    code = "import sys, facestats; print(*{'torch','matplotlib','sklearn','umap','mediapipe','transformers'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == ""


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match="no attribute 'algin_faces'; it has .*align_faces"):
        fs.algin_faces  # noqa: B018


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(SOURCE).as_posix())
def test_modules_say_what_they_are_and_stay_small(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert ast.get_docstring(tree)
    assert len(text.splitlines()) <= 300
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 70, f"{node.name} is too long"


def test_the_tree_tells_the_flow():
    stages = {"faces", "embeddings", "attributes", "text_labels", "ratings", "master"}
    stages |= {"clusters", "composites", "audit"}
    found = {p.stem for p in SOURCE.glob("*.py")} - {"__init__"}
    assert found == stages
    folders = {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders == {"core", "models", "plots", "demo", "surfaces"}
    assert {p.stem[3:] for p in (ROOT / "notebooks").glob("*.ipynb")} >= stages


def test_documents_name_every_public_name():
    summary = (ROOT / "tools_summary.md").read_text()
    assert [n for n in fs.__all__ if n != "__version__" and n not in summary] == []


def test_no_binary_or_large_file_is_tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    files = [ROOT / os.fsdecode(f) for f in listed.split(b"\0") if f]
    weights = sum(f.stat().st_size for f in files if f.suffix == ".safetensors")
    large = [f for f in files if f.is_file() and f.suffix != ".safetensors" and f.stat().st_size > 500_000]
    assert large == []
    assert weights < 25_000_000


def test_requirements_are_exact_and_cover_what_pyproject_names():
    lines = [x for x in (ROOT / "requirements.txt").read_text().splitlines() if x and not x.startswith("#")]
    assert all("==" in line for line in lines)
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {w.split(">")[0].split("=")[0].split("<")[0].lower().replace("_", "-") for w in wanted}
    assert names <= pinned


def test_notebooks_hold_no_outputs():
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "examples").glob("*.ipynb")]:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None
