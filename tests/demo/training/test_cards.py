"""The model cards in the package match what training would write, and nothing but training needs this package."""

import re
from pathlib import Path

import pytest

import facestats
from facestats.demo.training import bart_card, clip_card

PACKAGE = Path(facestats.__file__).parent
CARDS = {"bart": bart_card._CARD, "clip": clip_card.CARD}


@pytest.mark.parametrize("name", CARDS)
def test_the_card_of_the_package_has_the_text_of_its_template(name):
    """All lines without a value are the same: who edits one of the two edits the other."""
    fixed = [line for line in CARDS[name].splitlines() if "{" not in line]
    card = (PACKAGE / "demo" / name / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in fixed if line not in card] == []


@pytest.mark.parametrize("name", CARDS)
def test_the_card_names_a_command_that_there_is(name):
    card = (PACKAGE / "demo" / name / "README.md").read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m facestats\.([\w.]+)", card))
    assert modules == {f"demo.training.train_{name}"}
    assert all((PACKAGE / f"{m.replace('.', '/')}.py").is_file() for m in modules)


def test_nothing_in_the_wheel_imports_what_is_not_in_it():
    others = [p for p in PACKAGE.rglob("*.py") if "training" not in p.relative_to(PACKAGE).parts]
    assert len(others) > 100
    importing = re.compile(
        r"^\s*(from|import) facestats\.demo(\.training| import .*\btraining\b)", re.MULTILINE
    )
    assert [p.name for p in others if importing.search(p.read_text(encoding="utf-8"))] == []
