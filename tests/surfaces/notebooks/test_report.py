"""The page that a run leaves: the results come first, and the map of the code comes last."""

from __future__ import annotations

import base64
import html
import re

import nbformat
import polars as pl
import pytest

import facestats as fs
from facestats.surfaces.notebooks.report import read_executed, write_report
from facestats.surfaces.notebooks.summary import changed_sources, conclude, read_sources

PNG = base64.b64encode(b"\x89PNG of a map").decode()
HOSTILE = "<script>alert(1)</script>.jpg"


def write_executed(folder, name, *cells):
    """An executed notebook."""
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=list(cells)), folder / f"{name}.ipynb")


def code(*outputs, tags=()):
    return nbformat.v4.new_code_cell("x", outputs=list(outputs), metadata={"tags": list(tags)})


def shown(**data):
    return nbformat.v4.new_output("display_data", data={k.replace("_", "/"): v for k, v in data.items()})


@pytest.fixture
def store(tmp_path):
    """The tables of the example project; of one picture with a hostile name no face was found."""
    project = fs.testing.example_project()
    made = fs.Store(tmp_path)
    faces = project.faces.with_row_index("i")
    first = {"image_id": HOSTILE, "status": "no_face", "error": "no face was found in the picture"}
    changed = faces.with_columns(
        pl.when(pl.col("i") == 0).then(pl.lit(value, dtype=faces.schema[name])).otherwise(name).alias(name)
        for name, value in first.items()
    )
    made.write("faces", changed.drop("i"))
    made.write("master", project.master)
    return made


def summary_of(page):
    return page.read_text().partition('<section id="results">')[2].partition("</section>")[0]


def test_the_results_come_first_and_the_map_of_the_code_last(tmp_path):
    for name in ("00_schematics", "01_faces", "09_audit"):
        write_executed(tmp_path / "report", name, nbformat.v4.new_markdown_cell(f"# {name}"))
    page = write_report(tmp_path / "report", last="00_schematics.ipynb").read_text()
    assert re.findall(r'<section id="(\w+)"', page) == ["results", "01_faces", "09_audit", "00_schematics"]
    assert re.findall(r'<a href="#(\w+)">[^<]*</a>', page.partition("</nav>")[0]) == [
        *("results", "01_faces", "09_audit", "00_schematics")
    ]
    assert "earlier run" not in page


def test_a_run_that_stops_leaves_later_notebooks_and_the_map_to_an_earlier_run(tmp_path):
    for name in ("00_schematics", "01_faces", "09_audit"):
        write_executed(tmp_path / "report", name)
    summary = summary_of(write_report(tmp_path / "report", last="01_faces.ipynb"))
    assert "The last run did not reach these notebooks" in summary
    assert 'href="#09_audit">09 audit</a> (from an earlier run)' in summary
    assert 'href="#00_schematics">00 schematics</a> (from an earlier run)' in summary
    assert "01 faces</a> (from" not in summary


def test_the_summary_counts_pictures_and_says_what_failed_and_why(tmp_path, store):
    write_executed(tmp_path / "report", "01_faces")
    summary = summary_of(write_report(tmp_path / "report"))
    assert "12 pictures: 11 faces found and aligned, 1 failed." in summary
    assert "no face was found in the picture" in summary
    assert HOSTILE not in summary
    assert html.escape(HOSTILE) in summary


def test_a_run_ends_with_its_results(tmp_path, store):
    toy = nbformat.v4.new_output("stream", name="stdout", text="Toy model: drawn characters only.\n")
    write_executed(tmp_path / "report", "03_attributes", code(toy))
    executed = read_executed(tmp_path / "report")
    assert conclude(executed, store, ran={"03_attributes.ipynb"}) == [
        "12 pictures: 11 faces found and aligned, 1 failed (1 no_face)",
        "Toy model: drawn characters only.",
    ]


def test_labels_that_change_their_source_are_told(store):
    before = read_sources(store)
    assert changed_sources(before, before) == []
    assert changed_sources(None, before) == []
    kind = pl.Enum(["image", "probe"])
    was = before.with_columns(age_source=pl.lit("image", dtype=kind), age=pl.lit("child"))
    now = before.with_columns(age_source=pl.lit("probe", dtype=kind))
    (line,) = changed_sources(was, now)
    assert line.startswith(
        "age is now labelled by the probe that learned from people, before by the prompts: "
    )
    assert f"{(before['age'].cast(pl.String) != 'child').sum()} of 12 labels changed" in line


def test_notes_about_the_run_stand_on_top(tmp_path, store):
    write_executed(tmp_path / "report", "09_audit")
    summary = summary_of(write_report(tmp_path / "report", notes=["Tables are stale: <faces>"]))
    assert summary.index("Tables are stale: &lt;faces&gt;") < summary.index("12 pictures")


def test_labels_stand_with_their_accuracy_or_as_not_audited(tmp_path, store):
    project = fs.testing.example_project()
    write_executed(tmp_path / "report", "09_audit")
    summary = summary_of(write_report(tmp_path / "report"))
    assert re.search(r">age</td>.*?(child|elderly) \d+%.*?>not audited</td>", summary)
    assert "No truth is known for these pictures" in summary
    assert "text age" not in summary
    store.write("audit", fs.audit.accuracy(project.master, project.attributes, project.truth))
    summary = summary_of(write_report(tmp_path / "report"))
    assert re.search(r">age</td>.*?>\d+% \(\d+% to \d+%\) of 12</td>", summary)
    assert 'href="../processed/audit.parquet"' in summary


def test_results_of_tagged_cells_are_in_the_summary_under_their_heading(tmp_path):
    write_executed(
        tmp_path / "report",
        "07_clusters",
        nbformat.v4.new_markdown_cell("# Clusters\n\n## What does the map look like?\n\nText."),
        code(shown(image_png=PNG + "\n"), tags=["summary"]),
        code(shown(text_plain="not this")),
        code(nbformat.v4.new_output("stream", name="stderr", text="nor a warning"), tags=["summary"]),
        code(nbformat.v4.new_output("stream", name="stdout", text="<b>12</b> faces"), tags=["summary"]),
    )
    summary = summary_of(write_report(tmp_path / "report"))
    assert f'<img alt="What does the map look like?" src="data:image/png;base64,{PNG}">' in summary
    assert "&lt;b&gt;12&lt;/b&gt; faces" in summary
    assert "not this" not in summary
    assert "nor a warning" not in summary
    assert 'From <a href="#07_clusters">07 clusters</a>' in summary


def test_early_ends_and_errors_are_named_with_their_sentence(tmp_path):
    ended = nbformat.v4.new_output(
        "display_data", data={"text/plain": "No ratings: <b>none</b>."}, metadata={"early_end": True}
    )
    failed = nbformat.v4.new_output("error", ename="StoreError", evalue="the disk is full", traceback=[])
    write_executed(tmp_path / "report", "05_ratings", code(ended))
    write_executed(tmp_path / "report", "06_master", code(failed))
    summary = summary_of(write_report(tmp_path / "report"))
    assert "05 ratings</a>: No ratings: &lt;b&gt;none&lt;/b&gt;.</li>" in summary
    assert "06 master</a>: StoreError: the disk is full</li>" in summary


def test_files_beside_the_page_are_linked_and_nothing_is_loaded(tmp_path, store):
    write_executed(tmp_path / "report", "08_composites")
    (tmp_path / "report/run_card.html").write_text("card")
    (tmp_path / "report/composites").mkdir()
    (tmp_path / "report/composites/mean, 50 % #1.png").write_bytes(b"")
    text = write_report(tmp_path / "report").read_text()
    links = re.findall(r'href="([^"#]+)"', text)
    assert {"run_card.html", "composites/mean%2C%2050%20%25%20%231.png", "08_composites.ipynb"} <= set(links)
    assert {"../processed/faces.parquet", "../processed/master.parquet"} <= set(links)
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    assert "<script" not in text


def test_a_damaged_table_is_a_sentence_and_the_page_is_made(tmp_path, store):
    write_executed(tmp_path / "report", "01_faces", nbformat.v4.new_markdown_cell("the notebook"))
    (tmp_path / "processed/faces.parquet").write_bytes(b"PAR1 no table PAR1")
    text = write_report(tmp_path / "report").read_text()
    assert "the notebook" in text
    assert "faces" in summary_of(tmp_path / "report/index.html")
