from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import facestats as fs
from facestats.core.config import ConfigError
from facestats.core.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier, draw_faces
from facestats.surfaces import extract as work
from facestats.surfaces.pipeline import Item

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "config" / "demo.yaml"


@pytest.fixture
def pipeline(tmp_path):
    config = fs.load_config(DEMO).model_copy(update={"data_dir": tmp_path / "data"})
    models = {"landmarker": FakeLandmarker(), "encoder": FakeEncoder(), "classifier": FakeTextClassifier()}
    return fs.CharacterPipeline(config, **models)


def texts(n):
    return [Item(f"t{i}", None, f"a person with red hair, number {i}") for i in range(n)]


def ids(file):
    return [json.loads(line)["id"] for line in file.read_text().splitlines()]


def test_each_input_is_one_line_in_order(pipeline):
    stream = io.StringIO()
    items = [*texts(5), Item("empty"), Item("gone", "no/such/picture.jpg")]
    tally = work.extract(pipeline, items, None, stream=stream, batch_size=2)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["id"] for line in lines] == [item.id for item in items]
    assert lines[0]["attributes"]["Hair_Color"] == "red"
    assert [line["error"] is None for line in lines] == [True] * 5 + [False] * 2
    assert (tally.done, tally.failed, tally.mostly_bad) == (7, 2, True)


@pytest.mark.parametrize("cut", [0, 1, 37])
def test_a_run_goes_on_where_the_last_one_ended(pipeline, tmp_path, cut, capsys):
    out = tmp_path / "deep" / "out.jsonl"
    work.extract(pipeline, texts(4), out, stream=sys.stdout, batch_size=2)
    content = out.read_bytes()
    out.write_bytes(content[: len(content) - cut])
    tally = work.extract(pipeline, texts(9), out, stream=sys.stdout, batch_size=2)
    assert sorted(ids(out)) == [f"t{i}" for i in range(9)]
    assert tally.before == (4 if cut == 0 else 3)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "going on behind them" in captured.err


def test_a_file_of_something_else_is_not_touched(pipeline, tmp_path):
    out = tmp_path / "mine.jsonl"
    out.write_text("my diary\n")
    with pytest.raises(FileExistsError, match="line 1 is no answer"):
        work.extract(pipeline, texts(2), out, stream=sys.stdout)
    assert out.read_text() == "my diary\n"


def test_parquet_comes_when_all_is_done(pipeline, tmp_path):
    out = tmp_path / "out.parquet"
    work.extract(pipeline, texts(5), out, stream=sys.stdout, batch_size=2, scores=True)
    table = pl.read_parquet(out)
    assert table["image_id"].to_list() == [f"t{i}" for i in range(5)]
    assert table["Hair_Color"].to_list() == ["red"] * 5
    assert table["Hair_Color_source"].to_list() == ["text"] * 5
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["out.parquet"]
    assert work.extract(pipeline, texts(5), out, stream=sys.stdout).before == 5


def test_one_source_is_named(tmp_path):
    none = {"directory": None, "dataset": None, "split": None, "samples": None}
    with pytest.raises(ConfigError, match="name one source"):
        work.gather(None, None, **none)
    with pytest.raises(ConfigError, match="name one source"):
        work.gather(None, ["a"], **{**none, "directory": tmp_path})
    items, total = work.gather([Path("a.jpg")], ["a man"], **none)
    assert (list(items), total) == ([Item("a.jpg", Path("a.jpg"), "a man")], 1)


def test_a_directory_gives_pictures_with_their_captions(tmp_path):
    draw_faces(tmp_path, n=3)
    first = sorted(p for p in tmp_path.rglob("*.*") if p.is_file())[0]
    first.with_suffix(".txt").write_text("an elderly man")
    items = work.list_directory(tmp_path)
    assert {item.id: item.text for item in items}[first.relative_to(tmp_path).as_posix()] == "an elderly man"
    assert len(items) == fs.list_images(tmp_path).height


def test_a_data_set_is_streamed(tmp_path):
    draw_faces(tmp_path, n=3)
    items = list(work.stream_items(str(tmp_path), limit=2))
    assert len(items) == 2
    assert all(isinstance(item.image, bytes) for item in items)


def command(*arguments):
    return [
        sys.executable,
        "-c",
        "from facestats.surfaces.cli import main; main()",
        "extract",
        *map(str, arguments),
    ]


def test_no_source_is_exit_2_and_nothing_on_standard_output(monkeypatch, capsys):
    from facestats.surfaces.cli import main

    monkeypatch.setattr(sys, "argv", ["facestats", "extract"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "name one source" in said.err


def project(tmp_path):
    text = DEMO.read_text().replace("../data/demo", str(tmp_path / "data"))
    file = tmp_path / "config.yaml"
    file.write_text(text.replace("attributes.yaml", str(ROOT / "config" / "attributes.yaml")))
    return file


@pytest.mark.slow
def test_the_command_writes_json_alone_to_standard_output(tmp_path):
    run = subprocess.run(
        command("--text", "an elderly man with blue eyes", "--scores", "--config", project(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    (line,) = run.stdout.splitlines()
    answer = json.loads(line)
    assert answer["attributes"]["Age"] == "elderly"
    assert answer["attributes"]["Eye_Color"] == "blue"
    missing = subprocess.run(
        command("--image", tmp_path / "gone.jpg", "--config", project(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing.returncode == 3, "all of it failed"
    assert json.loads(missing.stdout)["error"].startswith("there is no such file")


@pytest.mark.slow
def test_killed_and_run_again_each_picture_is_there_once(tmp_path):
    raw = tmp_path / "pictures"
    fs.testing.draw_faces(raw, n=30)
    out = tmp_path / "out.jsonl"
    arguments = command("--directory", raw, "--out", out, "--batch-size", 4, "--config", project(tmp_path))
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while (not out.exists() or out.read_bytes().count(b"\n") < 8) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = out.read_bytes().count(b"\n")
    assert 0 < before < 30
    subprocess.run(arguments, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    expected = fs.list_images(raw)["image_id"].to_list()
    assert sorted(ids(out)) == sorted(expected)
