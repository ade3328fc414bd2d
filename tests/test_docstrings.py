"""Every public function says what goes in, what comes out, and shows an example that runs."""

import doctest
import inspect
import itertools
import os

import matplotlib.pyplot as plt
import pytest

import facestats as fs

NOUNS = [n for n in fs.__all__ if inspect.ismodule(getattr(fs, n))]
PUBLIC = {n: getattr(fs, n) for n in fs.__all__ if callable(getattr(fs, n))}
PUBLIC |= {
    f"{noun}.{n}": getattr(getattr(fs, noun), n)
    for noun in NOUNS
    for n in getattr(getattr(fs, noun), "__all__", ())
    if callable(getattr(getattr(fs, noun), n))
}
FUNCTIONS = {n: f for n, f in PUBLIC.items() if inspect.isfunction(inspect.unwrap(f))}
METHODS = {
    f"{c.__name__}.{n}": f
    for c in (fs.Store, fs.CharacterPipeline)
    for n, f in vars(c).items()
    if inspect.isfunction(f) and not n.startswith("_")
}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def sections(text):
    lines = inspect.cleandoc(text).splitlines()
    return [a for a, b in itertools.pairwise(lines) if b and set(b) == {"-"}]


@pytest.mark.parametrize("name", [*FUNCTIONS, *METHODS])
def test_a_docstring_has_its_sections(name):
    function = (FUNCTIONS | METHODS)[name]
    found = sections(function.__doc__)
    parameters = [p for p in inspect.signature(function).parameters if p != "self"]
    assert not parameters or "Parameters" in found
    assert inspect.signature(function).return_annotation == "None" or "Returns" in found or "Yields" in found
    assert name in METHODS or "Examples" in found
    listed = function.__doc__.partition("Parameters\n")[2]
    assert [p for p in parameters if p not in listed] == []


@pytest.mark.parametrize("name", [n for n in PUBLIC if "Examples\n" in (PUBLIC[n].__doc__ or "")])
def test_an_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FACESTATS_CONFIG", "")
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner(optionflags=FLAGS)
    out = []
    for test in finder.find(inspect.unwrap(PUBLIC[name]), name, globs={}):
        runner.run(test, out=out.append)
    plt.close("all")
    assert not runner.failures, "".join(out)
    assert os.listdir(tmp_path) == [], "an example leaves nothing behind"  # noqa: PTH208
