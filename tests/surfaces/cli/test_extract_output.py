"""One run writes an output, and only the same inputs and settings continue it: no input gets the answer of another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import facestats as fs
from facestats.core.config import ConfigError
from facestats.store.locks import LockedError
from facestats.surfaces.cli import extract as work
from facestats.surfaces.cli.exit_codes import exit_code
from facestats.surfaces.cli.extract_output import StateError, open_output
from facestats.surfaces.pipeline.pipeline import Item
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier, draw_faces

DEMO = Path(__file__).parents[3] / "config" / "demo.yaml"
ABOUT = {"source": "s", "scores": False, "recipe": {}}


class OtherEncoder(FakeEncoder):
    name = "fake-clip@2"


def make_pipeline(folder, *, encoder=None, **changes):
    config = fs.load_config(DEMO).model_copy(update={"data_dir": folder / "data", **changes})
    models = {"landmarker": FakeLandmarker(), "classifier": FakeTextClassifier()}
    return fs.CharacterPipeline(config, encoder=encoder or FakeEncoder(), **models)


@pytest.fixture
def pipeline(tmp_path):
    return make_pipeline(tmp_path)


@pytest.fixture
def raw(tmp_path):
    draw_faces(tmp_path / "raw", n_faces=3)
    return tmp_path / "raw"


@pytest.fixture(params=["out.jsonl", "out.parquet", "out.csv", "out.xlsx"])
def out(request, tmp_path):
    return tmp_path / request.param


def run(pipeline, inputs, out, **options):
    options = {"stream": sys.stdout, "batch_size": 2, "source": inputs.source, **options}
    return work.extract(pipeline, inputs.items, out, **options)


def answers(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def ids(file):
    return [answer["id"] for answer in answers(file)]


def texts(*said):
    return work.list_inputs(None, list(said))


def test_another_text_of_the_same_name_is_an_error_that_names_it(pipeline, out):
    run(pipeline, texts("a person with red hair"), out)
    before = out.read_bytes()
    with pytest.raises(StateError, match=r"choose another --out, or delete it") as caught:
        run(pipeline, texts("an elderly man"), out)
    assert exit_code(caught.value) == 7
    assert out.read_bytes() == before
    if out.suffix == ".jsonl":
        assert "'text 1' had other content" in str(caught.value)


def test_more_inputs_of_new_names_go_on(pipeline, tmp_path):
    out = tmp_path / "out.jsonl"
    run(pipeline, texts("a person with red hair"), out)
    assert run(pipeline, texts("a person with red hair", "an elderly man"), out).from_before == 1
    assert ids(out) == ["text 1", "text 2"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet", "out.csv"])
def test_other_sources_and_settings_are_errors_that_name_what_changed(pipeline, raw, tmp_path, name):
    out, other = tmp_path / name, tmp_path / "other"
    draw_faces(other, n_faces=3)
    run(pipeline, work.list_inputs(directory=raw), out)
    before = out.read_bytes()
    with pytest.raises(StateError, match=rf"inputs: directory {raw} -> directory {other}\); choose another"):
        run(pipeline, work.list_inputs(directory=other), out)
    with pytest.raises(StateError, match=r"scores: false -> true"):
        run(pipeline, work.list_inputs(directory=raw), out, scores=True)
    faces = pipeline.config.faces.model_copy(update={"crop_size": 256})
    with pytest.raises(StateError, match=r"recipe.align.params.size: \d+ -> 256"):
        run(make_pipeline(tmp_path, faces=faces), work.list_inputs(directory=raw), out)
    with pytest.raises(StateError, match=r"recipe.embed.params.encoder: .*fake-clip@2") as caught:
        run(make_pipeline(tmp_path, encoder=OtherEncoder()), work.list_inputs(directory=raw), out)
    assert len(str(caught.value).splitlines()) == 1
    assert out.read_bytes() == before


def test_a_picture_that_changed_is_labelled_anew_and_its_old_answer_goes(pipeline, raw, tmp_path):
    out = tmp_path / "out.jsonl"
    inputs = work.list_inputs(directory=raw)
    run(pipeline, inputs, out)
    first = inputs.items[0]
    Path(first.image).write_bytes(b"no picture any more")
    counts = run(pipeline, work.list_inputs(directory=raw), out)
    names = [item.id for item in inputs.items]
    assert ids(out) == [*names[1:], names[0]]
    assert "the file is text" in answers(out)[-1]["error"]
    assert (counts.done, counts.from_before) == (len(names), len(names))
    again = out.read_bytes()
    run(pipeline, work.list_inputs(directory=raw), out)
    assert out.read_bytes() == again


def test_a_caption_that_changed_counts_too(pipeline, raw, tmp_path):
    out = tmp_path / "out.jsonl"
    run(pipeline, work.list_inputs(directory=raw), out)
    picture = Path(work.list_directory(raw)[1].image)
    picture.with_suffix(".txt").write_text("a person with red hair")
    run(pipeline, work.list_inputs(directory=raw), out)
    assert ids(out)[-1] == picture.relative_to(raw).as_posix()
    assert len(ids(out)) == len(set(ids(out))) == len(work.list_directory(raw))


def test_a_picture_that_was_named_and_changed_is_the_same_error(pipeline, raw, tmp_path):
    out = tmp_path / "out.jsonl"
    pictures = sorted(raw.rglob("*.png"))[:2]
    run(pipeline, work.list_inputs(pictures, None), out)
    pictures[0].write_bytes(pictures[1].read_bytes())
    with pytest.raises(StateError, match="had other content when it was answered"):
        run(pipeline, work.list_inputs(pictures, None), out)


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.xlsx"])
def test_a_finished_table_is_not_taken_for_that_of_other_pictures(pipeline, raw, tmp_path, name):
    out = tmp_path / name
    run(pipeline, work.list_inputs(directory=raw), out)
    assert run(pipeline, work.list_inputs(directory=raw), out).from_before == len(work.list_directory(raw))
    draw_faces(raw / "more", n_faces=1)
    with pytest.raises(StateError, match="inputs were added, changed or removed"):
        run(pipeline, work.list_inputs(directory=raw), out)


def test_a_foreign_table_is_named_and_not_touched(pipeline, tmp_path):
    out = tmp_path / "mine.parquet"
    out.write_text("my diary")
    with pytest.raises(FileExistsError, match="is not a table of facestats extract"):
        run(pipeline, texts("a"), out)
    assert out.read_text() == "my diary"
    pl.DataFrame({"a": [1]}).write_parquet(out)
    with pytest.raises(FileExistsError, match="is not a table of facestats extract") as caught:
        run(pipeline, texts("a"), out)
    assert exit_code(caught.value) == 2


@pytest.mark.parametrize("content", ["my diary\n", "my diary", '{"id": 1}\n', "[]\n"])
def test_a_foreign_file_is_named_and_not_touched(pipeline, tmp_path, content):
    out = tmp_path / "mine.jsonl"
    out.write_text(content)
    with pytest.raises(FileExistsError, match="line 1 is not an answer"):
        run(pipeline, texts("a"), out)
    assert out.read_text() == content
    out.unlink()
    run(pipeline, texts("a"), out)
    out.write_text(content)
    with pytest.raises(FileExistsError, match="line 1 is not an answer"):
        run(pipeline, texts("a"), out)
    assert out.read_text() == content


def test_answers_without_notes_are_not_continued(pipeline, tmp_path):
    out = tmp_path / "out.jsonl"
    run(pipeline, texts("a"), out)
    (tmp_path / ".out.jsonl.notes").unlink()
    with pytest.raises(StateError, match=r"it is unknown what the answers .* were made from"):
        run(pipeline, texts("a"), out)


def test_an_output_that_was_deleted_is_begun_anew(pipeline, tmp_path):
    out = tmp_path / "out.jsonl"
    run(pipeline, texts("a"), out)
    out.unlink()
    assert run(pipeline, texts("an elderly man"), out, scores=True).from_before == 0
    assert len(ids(out)) == 1


@pytest.mark.parametrize("lost", [1, 3, 40, 10_000])
@pytest.mark.parametrize("file", ["lines", "notes", "both"])
def test_whatever_end_a_kill_cuts_off_each_input_is_there_once(pipeline, tmp_path, lost, file):
    out, notes = tmp_path / "out.jsonl", tmp_path / ".out.jsonl.notes"
    inputs = texts(*(f"a person with red hair, number {i}" for i in range(7)))
    run(pipeline, inputs, out)
    whole = sorted(answer["id"] for answer in answers(out))
    header = len(notes.read_bytes().splitlines(keepends=True)[0])
    for path, least in ((out, 0), (notes, header)):
        if file in {"both", "lines" if path == out else "notes"}:
            os.truncate(path, max(path.stat().st_size - lost, least))
    run(pipeline, inputs, out)
    assert sorted(ids(out)) == whole
    assert run(pipeline, inputs, out).from_before == 7


def test_a_second_run_on_one_output_stops_at_once(pipeline, out):
    with (
        open_output(out, ABOUT),
        pytest.raises(LockedError, match=rf"being written by process {os.getpid()} on") as e,
    ):
        run(pipeline, texts("a"), out)
    assert exit_code(e.value) == 6
    assert run(pipeline, texts("a"), out.with_name("other.jsonl")).done == 1


def test_two_runs_at_once_write_each_answer_once(pipeline, tmp_path):
    out = tmp_path / "out.jsonl"
    code = f"""
from pathlib import Path
from facestats.surfaces.cli.extract_output import open_output
with open_output(Path({str(out)!r}), {ABOUT!r}):
    print("held", flush=True)
    input()
"""
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"process {other.pid} on "):
            run(pipeline, texts("a"), out)
        other.kill()  # a lock does not outlive its process
    run(pipeline, texts("a"), out)
    assert ids(out) == ["text 1"]


def test_a_link_to_an_output_is_that_output(pipeline, tmp_path):
    out, link = tmp_path / "out.jsonl", tmp_path / "link.jsonl"
    run(pipeline, texts("a"), out)
    link.symlink_to(out)
    assert run(pipeline, texts("a"), link).from_before == 1
    about = {**ABOUT, "source": work.NAMED, "recipe": pipeline.labeller.recipe()}
    with open_output(out, about), pytest.raises(LockedError):
        run(pipeline, texts("a"), link)
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["", "/dev/null"])
def test_what_is_no_file_is_refused(pipeline, tmp_path, name):
    with pytest.raises(ConfigError, match="is not a regular file"):
        run(pipeline, texts("a"), tmp_path / name)


def test_a_picture_that_changes_while_it_is_labelled_is_labelled_again(pipeline, raw, tmp_path):
    out = tmp_path / "out.jsonl"
    picture = sorted(raw.rglob("*.png"))[0]
    with open_output(out, {**ABOUT, "recipe": pipeline.labeller.recipe()}) as output:
        item = Item("it", picture)
        assert output.needs(item)
        results = pipeline.process_batch([item])
        picture.write_bytes(picture.read_bytes() + b"\0")
        output.add(results, scores=False)
        assert output.needs(item)


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.xlsx"])
def test_an_empty_table_is_a_table(pipeline, tmp_path, name):
    out = tmp_path / name
    assert work.extract(pipeline, [], out, stream=sys.stdout).done == 0
    assert work.extract(pipeline, [], out, stream=sys.stdout).done == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limits")
@pytest.mark.parametrize("room", [10, 200, 700])
def test_a_full_disk_is_exit_5_and_what_was_written_counts(pipeline, tmp_path, room):
    import resource

    out = tmp_path / "out.jsonl"
    inputs = texts(*(f"a person with red hair, number {i}" for i in range(30)))
    run(pipeline, texts("a person with red hair, number 0"), out)
    largest = max(path.stat().st_size for path in (out, tmp_path / ".out.jsonl.notes"))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + room, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            run(pipeline, inputs, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert exit_code(caught.value) == 5
    run(pipeline, inputs, out)
    assert ids(out) == [item.id for item in inputs.items]
    assert len({json.dumps(a["attributes"]) for a in answers(out)}) == 1


@pytest.mark.parametrize("name", ["out.csv", "out.xlsx", "out.CSV"])
def test_a_table_that_a_kill_prevented_is_made_from_the_answers(pipeline, tmp_path, name):
    out = tmp_path / name
    inputs = texts("a person with red hair", "an elderly man")
    run(pipeline, inputs, out)
    table = out.read_bytes()
    made_from = {"source": inputs.source, "scores": False, "recipe": pipeline.labeller.recipe()}
    out.unlink()
    with open_output(out, made_from) as output:  # answered, but no table is written
        list(map(output.needs, inputs.items))
        output.add(pipeline.process_batch(inputs.items), scores=False)
    assert not out.exists()
    assert run(pipeline, inputs, out).from_before == 2
    if out.suffix != ".xlsx":  # an Excel file holds its time
        assert out.read_bytes() == table
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {name, f".{name}.lock", f".{name}.about"}


def test_a_csv_is_a_csv_and_no_id_is_a_formula(pipeline, tmp_path):
    out = tmp_path / "out.csv"
    items = [Item("=cmd|' /C calc'!A0", None, "a person with red hair"), Item("-1", None, "an elderly man")]
    work.extract(pipeline, items, out, stream=sys.stdout)
    table = pl.read_csv(out)
    assert table["image_id"].to_list() == ["'=cmd|' /C calc'!A0", "'-1"]
    assert table["Hair_Color"].to_list() == ["red", None]


def test_a_csv_of_somebody_else_is_named_and_not_touched(pipeline, tmp_path):
    out = tmp_path / "mine.csv"
    out.write_text("my,diary\n")
    with pytest.raises(FileExistsError, match="is not a table of facestats extract"):
        run(pipeline, texts("a"), out)
    assert out.read_text() == "my,diary\n"


@pytest.mark.parametrize("name", ["out.txt", "out.json", "out", "out.xls", "out.csv.gz"])
def test_an_end_that_says_nothing_is_refused_with_those_that_do(pipeline, tmp_path, name):
    with pytest.raises(ConfigError, match=r"use out[.\w]*\.jsonl for JSON Lines, .*\.xlsx or .*\.parquet"):
        run(pipeline, texts("a"), tmp_path / name)
    assert not list(tmp_path.glob("*out*"))
