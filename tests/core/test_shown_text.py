"""Texts of strangers reach each place as text, and come back from a CSV as they were."""

import csv
import io
import logging
import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import facestats as fs
from facestats.core.shown_text import for_cell, for_html, for_markdown, from_cell, visible
from tests.fetched import fetched_addresses
from tests.hostile_names import HOSTILE_NAMES

ANY = st.one_of(
    st.text(), st.sampled_from(HOSTILE_NAMES), st.text(alphabet="'=+-@\t\r\n\u202e\x1b$<&|`[]()!\\")
)


@given(ANY)
def test_nothing_that_a_terminal_obeys_is_left(text):
    seen = visible(text)
    assert not {unicodedata.category(c) for c in seen} & {"Cs"}
    assert {c for c in seen if unicodedata.category(c) == "Cc"} <= {"\n", "\t"}
    assert not set(seen) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u200b")
    assert visible(seen) == seen
    one = visible(text, one_line=True)
    assert one.splitlines() in ([], [one])


@pytest.mark.parametrize("text", ["plain", "ümläut", "日本語", "café 👩‍🔬", "Ελένη", "علي"])
def test_an_ordinary_text_stays_as_it_is(text):
    assert visible(text) == for_html(text) == for_markdown(text) == for_cell(text) == text


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, [name for name, _ in attrs]))


@given(ANY)
def test_no_tag_comes_out_of_a_text(text):
    parser = _Tags()
    parser.feed(f'<p title="{for_html(text)}">{for_html(text)}</p>')
    assert parser.tags == [("p", ["title"])]


@given(ANY)
def test_a_text_in_markdown_adds_no_tag_and_fetches_nothing(text):
    table = f"| a | b |\n|---|---|\n| x {for_markdown(text)} | end |\n"
    for page in (
        MarkdownIt("js-default").render(table),
        MarkdownIt("commonmark").render(for_markdown(f"x{text}")),
    ):
        assert fetched_addresses(page) == set()
        assert not {"<img", "<script", "<a "} & {part for part in ("<img", "<script", "<a ") if part in page}
    assert MarkdownIt("js-default").render(table).count("<td>") == 2


@given(ANY)
def test_a_cell_is_no_formula_and_is_read_as_it_was(text):
    cell = for_cell(text)
    assert from_cell(cell) == text
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d"))


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_an_answer_about_any_name_is_read_again_or_refused(name, tmp_path):
    attributes = fs.testing.example_project().attributes
    file = tmp_path / "labels.csv"
    given = {"attribute": "age", "value": "child", "labeller": name}
    try:
        fs.human_labels.write(file, name, **given)
    except fs.human_labels.LabelError as error:
        assert "line break" in str(error)
        return
    cells = [cell for row in csv.reader(io.StringIO(file.read_text())) for cell in row]
    assert not [c for c in cells if c.startswith(("=", "+", "-", "@", "\uff1d"))]
    assert fs.human_labels.read(file, attributes)["image_id"].to_list() == [name]
    fs.human_labels.write(file, name, **{**given, "value": None})
    assert fs.human_labels.read(file, attributes).is_empty()


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_shown_table_is_text(name):
    shown = fs.show(pl.DataFrame({"image_id": [name]}), title=name)
    assert visible(repr(shown)) == repr(shown)
    assert len(repr(shown).splitlines()) <= 4
    parser = _Tags()
    parser.feed(shown._repr_html_())
    assert {tag for tag, _ in parser.tags} <= {"p", "table", "thead", "tbody", "tr", "th", "td"}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_terminal_and_a_log_obey_nothing(name, capsys):
    from facestats.core.progress import say
    from facestats.surfaces.cli.commands import _VisibleFormatter
    from facestats.surfaces.cli.exit_codes import echo, exit_with

    say(name)
    echo(name)
    echo(name, err=True)
    with pytest.raises(SystemExit):
        exit_with(2, f"{name}: not found")
    out, err = capsys.readouterr()
    record = logging.LogRecord("facestats", logging.WARNING, "", 0, "%s: broken", (name,), None)
    for text in (out, err, _VisibleFormatter().format(record)):
        assert visible(text) == text
        assert text.strip()


def test_there_is_one_way_to_each_place():
    """No module escapes HTML, prints or writes a CSV in a way of its own."""
    own = {
        r"^(import html$|from html import)": {"core/shown_text.py"},
        r"typer\.echo\(|(?<!\w)print\(": {"surfaces/cli/exit_codes.py"},
        r"\.write_csv\(|csv\.writer\(|csv\.DictWriter\(": {
            "surfaces/spreadsheets.py",
            "human_labels/answers_file.py",
            "demo/gallery.py",  # names that the demo made itself
        },
    }
    source = Path(fs.__file__).parent
    for pattern, allowed in own.items():
        code = {p.relative_to(source).as_posix(): p.read_text() for p in source.rglob("*.py")}
        found = {
            name
            for name, text in code.items()
            if not name.startswith("demo/training/")
            for line in text.splitlines()
            if re.search(pattern, line) and not line.lstrip().startswith((">>>", "...", "#"))
        }
        assert found == allowed, pattern
