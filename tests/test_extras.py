"""The packages of one extra are enough for what belongs to it, and where they are missing, a command names the extra."""

import ast
import json
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from itertools import chain

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

SOURCE = ROOT / "src"
# whose modules import packages of an extra; all other modules need none
EXTRA_OF = {
    "facestats.surfaces.notebooks": "notebooks",
    "facestats.surfaces.notebooks.explore": "explore",
    "facestats.surfaces.page": "app",
    "facestats.surfaces.service": "service",
    "facestats.pictures.decode": "heic",
    "facestats.models": "mediapipe",
}
AT_ONCE = (
    "facestats.surfaces.notebooks.label_widget",
    "facestats.surfaces.page",
    "facestats.surfaces.service",
)
EXTRAS = ("notebooks", "app", "service", "explore", "heic", "ray", "mediapipe")
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "facestats").rglob("*.py"))
}
DISTRIBUTIONS = {
    module: {canonicalize_name(name) for name in names} for module, names in packages_distributions().items()
}
# hides packages as if they were not installed
HIDE = """
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in HIDDEN else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


@cache
def packages_of(*extras):
    """Find all packages that facestats with these extras brings, also indirectly."""
    found, left = set(), [("facestats", frozenset(extras))]
    while left:
        name, wanted = left.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        for line in distribution(name).requires or ():
            need = Requirement(line)
            # platforms and Pythons are those of this environment
            if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in {"", *wanted}):
                left.append((canonicalize_name(need.name), frozenset(need.extras)))
    return {name for name, _ in found}


def run_with(extras, code):
    """Run code where only facestats and the packages of these extras are installed."""
    packages = packages_of(*extras)
    hidden = {module for module, names in DISTRIBUTIONS.items() if not names & packages}
    text = f"HIDDEN = {json.dumps(sorted(hidden))}\n{HIDE}\n{code}"
    return subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, cwd=ROOT)


def belongs(module, places):
    return any(module == place or module.startswith(f"{place}.") for place in places)


def imports(path):
    """Names of the packages that a module imports, also inside its functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module]
        yield from (name.partition(".")[0] for name in names)


def test_a_module_imports_packages_of_the_base_or_of_its_extra():
    base = packages_of()
    for module, path in MODULES.items():
        extras = [extra for place, extra in EXTRA_OF.items() if belongs(module, [place])]
        try:
            allowed = base | packages_of(*extras)
        except PackageNotFoundError as missing:
            pytest.skip(f"{missing.name} is not installed")
        for name in set(imports(path)) - sys.stdlib_module_names - {"facestats"}:
            assert DISTRIBUTIONS[name] & allowed, f"{module} imports {name}"


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_everything_is_imported_with_the_packages_of_one_extra(extra):
    extras = [extra] if extra else []
    try:
        packages_of(*extras)
    except PackageNotFoundError as missing:
        pytest.skip(f"{missing.name} is not installed: pip install 'facestats[{extra}]'")
    needed = {
        place for place in AT_ONCE if not belongs(place, [p for p, e in EXTRA_OF.items() if e == extra])
    }
    modules = [m for m in MODULES if not belongs(m, needed)]
    own = chain(*(_own_packages(extra) if extra else ()))
    done = run_with(extras, f"import importlib\nfor m in {[*modules, *own]}:\n    importlib.import_module(m)")
    assert done.returncode == 0, done.stderr


def _own_packages(extra):
    """Modules of the packages that an extra names itself."""
    for line in distribution("facestats").requires:
        need = Requirement(line)
        if need.marker is not None and "extra" in str(need.marker) and need.marker.evaluate({"extra": extra}):
            name = canonicalize_name(need.name)
            yield [
                m for m, names in DISTRIBUTIONS.items() if name in names and m.isidentifier() and m[0] != "_"
            ]


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["run", "--demo"], "notebooks"),
        (["audit", "--demo"], "notebooks"),
        (["notebooks", "--demo"], "notebooks"),
        (["app", "--demo"], "app"),
        (["serve", "--demo"], "service"),
    ],
)
def test_a_command_without_its_extra_says_which_line_installs_it(words, extra):
    code = f"from facestats.surfaces.cli.commands import main\nsys.argv = {['facestats', *words]}\nmain()"
    done = run_with([], code)
    assert done.returncode == 5, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("facestats: error: ")
    assert "needs a package that is not installed" in last
    assert last.endswith(f"pip install 'facestats[{extra}]'")


@pytest.mark.parametrize(("name", "extra"), [("label_by_hand", "notebooks"), ("explore", "explore")])
def test_a_function_without_its_extra_says_which_line_installs_it(name, extra):
    code = (
        "import facestats as fs\nproject = fs.testing.example_project()\n"
        f"fs.{name}(project.master.join(project.clusters, on='image_id'), project.crops_dir)"
    )
    done = run_with([], code)
    assert done.stderr.endswith(f"pip install 'facestats[{extra}]'\n"), done.stderr


def test_the_base_writes_a_gallery_and_ends_a_notebook(tmp_path):
    code = (
        "import facestats as fs\nfrom facestats.demo.gallery import write_gallery\n"
        f"write_gallery({str(tmp_path)!r}, n=2)\nfs.stop_here('enough')"
    )
    done = run_with([], code)
    assert (tmp_path / "metadata.csv").is_file()
    assert done.stderr.endswith("EarlyEnd: enough\n"), done.stderr
