"""The grammar of the public API, held by a test rather than by memory."""

import ast
import graphlib
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import facestats as fs

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/facestats"
STAGES = (
    "faces",
    "embeddings",
    "attributes",
    "text_labels",
    "ratings",
    "master",
    "clusters",
    "composites",
    "audit",
)
ROOMS = {"inputs", "pictures", "human_labels", "store", "models", "plots", "surfaces", "demo", "core"}
NOUNS = [n for n in fs.__all__ if inspect.ismodule(getattr(fs, n))]
FLOW = [n for n in fs.__all__ if n not in {*NOUNS, "__version__"}]
PUBLIC = {
    **{n: getattr(fs, n) for n in FLOW},
    **{
        f"{noun}.{n}": getattr(getattr(fs, noun), n)
        for noun in NOUNS
        for n in getattr(getattr(fs, noun), "__all__", ())
    },
}
FUNCTIONS = {n: f for n, f in PUBLIC.items() if inspect.isfunction(f) and not n.startswith("plots.")}
PLOTS = [n for n in fs.plots.__all__ if inspect.isfunction(getattr(fs.plots, n))]
MODULES = sorted(p for p in SOURCE.rglob("*.py"))
HOW_MANY = {"n", "top", "limit", "samples", "repeats", "bins", "count", "number"}
# the design calls the number of hits so
EXCEPTED = {("search_faces", "top"), ("embeddings.search_faces", "top")}


def test_the_flow_is_flat_and_everything_else_has_a_noun():
    assert len(FLOW) <= 22, "the flow is for what most notebooks call; reach the new name by its noun"
    assert {"audit.prompts", "audit.calibration", "ratings.reliability", "clusters.profile"} <= {*PUBLIC}
    assert {"composites.difference", "human_labels.read"} <= {*PUBLIC}


@pytest.mark.parametrize("noun", NOUNS)
def test_tab_completion_on_a_noun_shows_what_there_is_about_it_and_nothing_else(noun):
    assert dir(getattr(fs, noun)) == sorted(getattr(fs, noun).__all__)


def test_a_public_name_stays_a_function_when_the_module_of_that_name_is_imported():
    for noun in ("audit", "ratings", "clusters", "composites"):
        package = getattr(fs, noun)
        for path in (SOURCE / noun).glob("*.py"):
            importlib.import_module(f"facestats.{noun}.{path.stem}")
        assert all(callable(getattr(package, n)) for n in package.__all__), noun


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name):
    function = FUNCTIONS[name]
    parameters = inspect.signature(function).parameters
    positional = [p.name for p in parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(positional) <= 3
    assert all(p.annotation is not p.empty for p in parameters.values())
    assert inspect.signature(function).return_annotation is not inspect.Signature.empty
    assert not {n for n in HOW_MANY & set(parameters) if (name, n) not in EXCEPTED}, "how many is spelt n_..."
    if "seed" in parameters:
        assert parameters["seed"].default == 0
    place = 2 if name.rpartition(".")[2] in {"label_attributes", "label_texts", "fit_probes"} else 1
    if "attributes" in parameters and name.rpartition(".")[2] not in {"merge_master", "mask_low_scores"}:
        assert positional.index("attributes") == place


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
    assert len(text.splitlines()) <= 400, "is it about one thing?"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            has_doc = ast.get_docstring(node, clean=False) is not None
            first = node.body[1] if has_doc and len(node.body) > 1 else node.body[0]
            assert node.end_lineno - first.lineno < 60, f"{node.name} is too long"


def test_the_tree_tells_the_flow():
    packages = {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert packages == {*STAGES, *ROOMS} - {"master"}
    assert {p.stem for p in SOURCE.glob("*.py")} == {"__init__", "master", "schematics", "testing"}
    assert {p.stem[3:] for p in (ROOT / "notebooks").glob("*.ipynb")} == {"schematics", *STAGES}


def stages_named_in(path):
    """Stages that a module names: by a text, an attribute, a field or an import."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant):
            found.add(node.value)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.AnnAssign):
            found.add(getattr(node.target, "id", None))
        elif isinstance(node, ast.ImportFrom):
            found |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return found & set(STAGES)


def test_adding_a_stage_touches_the_places_that_contributing_names_and_no_others():
    recipe = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a stage")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([\w/.]+\.py)`", recipe)) - {
        "test_golden.py",
        "tests/test_api.py",
        "__init__.py",
    }
    lists_all = {
        p.relative_to(SOURCE).as_posix() for p in MODULES if len(stages_named_in(p)) >= len(STAGES) - 1
    }
    assert {f"facestats/{p}" if "/" not in p else p for p in lists_all} == named
    for other in ("pyproject.toml", "tools_summary.md", "CHANGELOG.md"):
        assert f"`{other}`" in recipe


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_its_version_its_golden_test_and_its_row(stage):
    package = importlib.import_module(f"facestats.{stage}")
    assert isinstance(package.VERSION, int)
    assert stage == "master" or inspect.isfunction(package.settings)
    golden = ROOT / "tests" / stage / "golden.json"
    golden = golden if golden.exists() else ROOT / "tests" / f"golden_{stage}.json"
    assert json.loads(golden.read_text())["version"] == package.VERSION
    assert re.search(rf"^\| `\d\d_{stage}` ", (ROOT / "tools_summary.md").read_text(), re.MULTILINE)


def imports(path):
    """Modules of ours that a module imports, wherever in it, also for types alone."""
    names = {".".join(p.relative_to(SOURCE.parent).with_suffix("").parts) for p in MODULES}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("facestats"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in names else node.module)
    return found


def test_core_holds_what_several_packages_stand_on():
    core = [p for p in (SOURCE / "core").glob("*.py") if p.stem != "__init__"]
    assert len(core) <= 16
    for module in core:
        name = f"facestats.core.{module.stem}"
        users = {p.relative_to(SOURCE).parts[0] for p in MODULES if name in imports(p)} - {"__init__.py"}
        # what only the configuration is made of belongs to it
        assert len(users) >= 2 or users == {"core"}, (
            f"{name} is used by {users or 'nobody'}: it belongs there"
        )


def test_no_imports_run_in_a_circle_not_even_for_types():
    graph = {".".join(p.relative_to(SOURCE.parent).with_suffix("").parts): imports(p) for p in MODULES}
    order = list(graphlib.TopologicalSorter(graph).static_order())  # a CycleError names the circle
    assert order.index("facestats.core.tables") < order.index("facestats.store.store")


def test_documents_name_every_public_name():
    summary = (ROOT / "tools_summary.md").read_text()
    assert [n for n in (*FLOW, *NOUNS) if f"`{n}" not in summary] == []
    assert [n for n in FUNCTIONS if n.rpartition(".")[2] not in summary] == []


def test_no_binary_or_large_file_is_tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    files = [ROOT / os.fsdecode(f) for f in listed.split(b"\0") if f]
    weights = sum(f.stat().st_size for f in files if f.suffix == ".safetensors")
    may_be_large = {*ROOT.rglob("*.safetensors"), ROOT / "uv.lock"}
    large = [f for f in files if f.is_file() and f not in may_be_large and f.stat().st_size > 500_000]
    assert large == []
    assert weights < 25_000_000
    pictures = [f.stat().st_size for f in (ROOT / "docs/images").iterdir()]
    assert max(pictures) <= 60_000
    assert sum(pictures) <= 200_000


def test_requirements_and_lock_are_exact_and_hold_what_pyproject_names():
    lines = [x for x in (ROOT / "requirements.txt").read_text().splitlines() if not x.startswith("#")]
    assert all("==" in line for line in lines)
    assert "://" not in "".join(lines)
    pinned = dict(line.partition(" ;")[0].split("==") for line in lines)
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    locked = {(p["name"], p.get("version")) for p in lock["package"]}
    assert [pin for pin in pinned.items() if pin not in locked] == [], "type: make lock"
    own = next(p for p in lock["package"] if p["name"] == "facestats")["metadata"]["requires-dist"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [Requirement(w) for w in chain(project["dependencies"], *extras.values())]
    assert {(canonicalize_name(w.name), str(w.specifier)) for w in wanted} == {
        (o["name"], o["specifier"]) for o in own
    }, "type: make lock"
    assert {canonicalize_name(w.name) for w in wanted} - set(pinned) == {"ray"}


def test_the_lock_names_the_public_index_and_no_other():
    addresses = re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text())
    assert set(addresses) == {"pypi.org", "files.pythonhosted.org"}


def test_notebooks_hold_no_outputs():
    for path in [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "examples").glob("*.ipynb")]:
        for cell in json.loads(path.read_text())["cells"]:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None
