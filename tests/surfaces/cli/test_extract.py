from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import facestats as fs
from facestats.core.config import ConfigError
from facestats.inputs.textfiles import CaptionError
from facestats.pictures.decode import PictureError
from facestats.surfaces.cli import extract as work
from facestats.surfaces.cli.commands import app
from facestats.surfaces.cli.extract_output import open_output
from facestats.surfaces.pipeline.pipeline import Item
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier, draw_faces

ROOT = Path(__file__).parents[3]
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
    counts = work.extract(pipeline, items, None, stream=stream, batch_size=2)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["id"] for line in lines] == [item.id for item in items]
    assert lines[0]["attributes"]["Hair_Color"] == "red"
    assert [line["error"] is None for line in lines] == [True] * 5 + [False] * 2
    assert (counts.done, counts.failed, counts.too_many_failed) == (7, 2, True)


@pytest.mark.parametrize("cut", [0, 1, 37])
def test_a_run_goes_on_where_the_last_one_ended(pipeline, tmp_path, cut, capsys):
    out = tmp_path / "deep" / "out.jsonl"
    work.extract(pipeline, texts(4), out, stream=sys.stdout, batch_size=2)
    content = out.read_bytes()
    out.write_bytes(content[: len(content) - cut])
    counts = work.extract(pipeline, texts(9), out, stream=sys.stdout, batch_size=2)
    assert sorted(ids(out)) == [f"t{i}" for i in range(9)]
    assert counts.from_before == (4 if cut == 0 else 3)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "continuing after them" in captured.err


def test_a_file_of_something_else_is_not_touched(pipeline, tmp_path):
    out = tmp_path / "mine.jsonl"
    out.write_text("my diary\n")
    with pytest.raises(FileExistsError, match="line 1 is not an answer"):
        work.extract(pipeline, texts(2), out, stream=sys.stdout)
    assert out.read_text() == "my diary\n"


def test_parquet_comes_when_all_is_done(pipeline, tmp_path):
    out = tmp_path / "out.parquet"
    work.extract(pipeline, texts(5), out, stream=sys.stdout, batch_size=2, scores=True)
    table = pl.read_parquet(out)
    assert table["image_id"].to_list() == [f"t{i}" for i in range(5)]
    assert table["Hair_Color"].to_list() == ["red"] * 5
    assert table["Hair_Color_source"].to_list() == ["text"] * 5
    left = {p.name for p in tmp_path.iterdir() if p.is_file()}
    assert left == {"out.parquet", ".out.parquet.lock"}
    assert work.extract(pipeline, texts(5), out, stream=sys.stdout, scores=True).from_before == 5


def test_one_source_is_named_and_options_that_do_nothing_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="name one source"):
        work.list_inputs(None, None)
    with pytest.raises(ConfigError, match="name one source"):
        work.list_inputs(None, ["a"], directory=tmp_path)
    with pytest.raises(ConfigError, match="--samples 3 belongs to --directory"):
        work.list_inputs(None, ["a"], samples=3)
    with pytest.raises(
        ConfigError, match="--split train belongs to --dataset, and the source is --directory"
    ):
        work.list_inputs(None, None, directory=tmp_path, split="train")
    with pytest.raises(ConfigError, match="--revision v1 belongs to --dataset"):
        work.list_inputs(None, None, directory=tmp_path, revision="v1")
    with pytest.raises(CaptionError, match="only data sets of the Hugging Face hub .* have revisions"):
        work.list_inputs(dataset=str(tmp_path), revision="v1")
    inputs = work.list_inputs([Path("a.jpg")], ["a man"])
    assert (list(inputs.items), inputs.total) == ([Item("a.jpg", Path("a.jpg"), "a man")], 1)
    draw_faces(tmp_path, n_faces=3)
    some = work.list_inputs(directory=tmp_path, samples=2)
    assert some.items == work.list_directory(tmp_path)[:2]
    assert some.total == 2


def test_inputs_that_are_named_have_names_of_their_own():
    odd = Path(os.fsdecode(b"caf\xe9.jpg"))
    inputs = work.list_inputs([odd, Path("caf%E9.jpg"), Path("text 1")], ["a", os.fsdecode(b"caf\xe9")])
    assert [item.id for item in inputs.items] == [
        "caf%E9.jpg",
        "caf%E9.jpg-2",
        "text 1",
        "text 1-2",
        "text 2",
    ]
    assert inputs.items[-1].text == "caf?"
    again = work.list_inputs([Path("a"), Path("a"), Path("a-2")]).items
    assert [item.id for item in again] == ["a", "a-2", "a-2-2"]


def test_a_name_that_is_not_utf8_costs_no_answer(pipeline, tmp_path):
    draw_faces(tmp_path, n_faces=1)
    picture = next(p for p in tmp_path.rglob("*.png"))
    odd = picture.rename(tmp_path / os.fsdecode(b"caf\xe9.png"))
    stream = io.StringIO()
    inputs = work.list_inputs([odd, tmp_path / "gone.png"], None)
    work.extract(pipeline, inputs.items, None, stream=stream)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [Path(line["id"]).name for line in lines] == ["caf%E9.png", "gone.png"]
    assert lines[0]["error"] is None


def test_a_directory_gives_pictures_with_their_captions(tmp_path):
    draw_faces(tmp_path, n_faces=3)
    first = sorted(p for p in tmp_path.rglob("*.*") if p.is_file())[0]
    first.with_suffix(".txt").write_text("an elderly man")
    items = work.list_directory(tmp_path)
    assert {item.id: item.text for item in items}[first.relative_to(tmp_path).as_posix()] == "an elderly man"
    assert len(items) == fs.list_images(tmp_path).height


def test_a_data_set_is_streamed(tmp_path):
    pytest.importorskip("datasets")
    draw_faces(tmp_path, n_faces=3)
    items = list(work.stream_items(str(tmp_path), limit=2))
    assert len(items) == 2
    assert all(isinstance(item.image, bytes) for item in items)


def test_a_file_of_texts_is_read_with_its_columns(tmp_path):
    file = tmp_path / "captions.csv"
    file.write_text("nr,caption,other\n7,a man,x\n8,a woman,y\n")
    named = work.list_inputs(text_file=file, id_column="nr", text_column="caption")
    assert list(named.items) == [Item("7", None, "a man"), Item("8", None, "a woman")]
    assert not named.has_pictures
    assert [item.text for item in work.list_inputs(text_file=file).items] == ["a man", "a woman"]
    assert [item.text for item in work.list_inputs(text_file=file, text_column="other", samples=1).items] == [
        "x"
    ]
    for name, table in (("t.tsv", "nr\tcaption\n7\ta man\n"), ("t.jsonl", '{"nr": 7, "caption": "a man"}\n')):
        (tmp_path / name).write_text(table)
        items = work.list_inputs(text_file=tmp_path / name, id_column="nr").items
        assert list(items) == [Item("7", None, "a man")]
    pl.DataFrame({"nr": [7], "caption": ["a man"]}).write_parquet(tmp_path / "t.parquet")
    assert next(iter(work.list_inputs(text_file=tmp_path / "t.parquet", id_column="nr").items)).id == "7"
    (tmp_path / "t.txt").write_text("a man\na woman\n")
    assert [item.text for item in work.list_inputs(text_file=tmp_path / "t.txt").items] == [
        "a man",
        "a woman",
    ]


def test_several_texts_of_one_name_are_numbered(tmp_path, caplog):
    file = tmp_path / "captions.csv"
    file.write_text("nr,caption\n7,a man\n7,a woman\n8,a child\n7,a boy\n")
    items = work.list_inputs(text_file=file, id_column="nr").items
    assert [(item.id, item.text) for item in items] == [
        ("7", "a man"),
        ("7-2", "a woman"),
        ("8", "a child"),
        ("7-3", "a boy"),
    ]
    assert "1 name with several texts, such as '7'" in caplog.text


def test_columns_of_texts_that_cannot_be_used_are_named(tmp_path):
    file = tmp_path / "captions.csv"
    file.write_text("nr,caption\n7,a man\n7,a woman\n,a child\n")
    with pytest.raises(CaptionError, match="1 row without a name"):
        work.list_inputs(text_file=file, id_column="nr")
    with pytest.raises(CaptionError, match=r"no column 'id'; it has \['nr', 'caption'\]"):
        work.list_inputs(text_file=file, id_column="id")
    with pytest.raises(FileNotFoundError, match=r"gone\.csv: this is no file"):
        work.list_inputs(text_file=tmp_path / "gone.csv")
    with pytest.raises(FileNotFoundError, match="--directory"):
        work.list_inputs(text_file=tmp_path)
    (tmp_path / "empty.csv").write_text("caption\n")
    with pytest.raises(FileNotFoundError, match="there is no text"):
        work.list_inputs(text_file=tmp_path / "empty.csv")


def test_a_file_in_the_place_of_a_text_or_data_set_is_refused_with_the_option_to_use(tmp_path):
    file, picture = tmp_path / "captions.csv", tmp_path / "a.jpg"
    file.write_text("caption\na man\n")
    picture.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"this is a file: use --texts .*captions\.csv"):
        work.list_inputs(None, [str(file)])
    with pytest.raises(ConfigError, match=r"use --image .*a\.jpg"):
        work.list_inputs(None, [str(picture)])
    with pytest.raises(ConfigError, match=r"use --texts .*captions\.csv"):
        work.list_inputs(dataset=str(file))
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        work.list_inputs(dataset="captions.csv")
    assert work.list_inputs(None, ["x" * 5000, "\0"]).total == 2
    with pytest.raises(ConfigError, match="--id-column nr belongs to --texts, and the source is --dataset"):
        work.list_inputs(dataset="org/name", id_column="nr")


def test_what_is_read_and_left_out_is_said_and_nothing_is_exit_4(tmp_path, capsys):
    draw_faces(tmp_path / "train", n_faces=2)
    draw_faces(tmp_path / "test", n_faces=2)
    n = len(list(work.list_inputs(dataset=str(tmp_path)).items))
    said = capsys.readouterr()
    assert said.out == ""
    assert f"reading split 'train': {n} pictures; left out: split 'test'" in said.err
    (tmp_path / "none").mkdir()
    with pytest.raises(SystemExit) as ended:
        app(["extract", "--dataset", str(tmp_path / "none")])
    assert ended.value.code == 4


def test_a_picture_that_cannot_be_read_is_an_answer_with_its_error(pipeline):
    stream = io.StringIO()
    problem = PictureError("too_large", "the picture has 200 MB, limit 100 MB; make it smaller")
    items = [Item("big.jpg", problem), Item("big.jpg with a text", problem, "a person with red hair")]
    work.extract(pipeline, items, None, stream=stream)
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first["error"] == second["error"] == str(problem)
    assert second["attributes"]["Hair_Color"] == "red"


class NoEncoder(FakeEncoder):
    @property
    def name(self):
        pytest.fail("the model for pictures is not needed for a text")


@pytest.mark.parametrize("name", [None, "out.jsonl"])
def test_a_text_needs_no_model_for_pictures(tmp_path, name):
    config = fs.load_config(DEMO).model_copy(update={"data_dir": tmp_path / "data"})
    models = {"landmarker": FakeLandmarker(), "encoder": NoEncoder(), "classifier": FakeTextClassifier()}
    pipeline = fs.CharacterPipeline(config, use_cache=True, **models)
    for _ in range(2):
        out = name and tmp_path / name
        counts = work.extract(pipeline, texts(2), out, stream=io.StringIO(), has_pictures=False)
        assert (counts.done, counts.failed) == (2, 0)


def command(*arguments):
    return [
        sys.executable,
        "-c",
        "from facestats.surfaces.cli.commands import main; main()",
        "extract",
        *map(str, arguments),
    ]


def test_no_source_is_exit_2_and_nothing_on_standard_output(capsys):
    with pytest.raises(SystemExit) as ended:
        app(["extract"])
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


def lines_of(file):
    return file.read_bytes().count(b"\n") if file.exists() else 0


@pytest.mark.slow
def test_killed_terminated_and_interrupted_it_goes_on_and_each_picture_is_there_once(tmp_path):
    raw, temporary, out = tmp_path / "pictures", tmp_path / "tmp", tmp_path / "out.jsonl"
    fs.testing.draw_faces(raw, n_faces=40)
    temporary.mkdir()
    arguments = command("--directory", raw, "--out", out, "--batch-size", 2, "--config", project(tmp_path))
    environment = {**os.environ, "TMPDIR": str(temporary)}
    for number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143), (signal.SIGINT, 130)):
        before = lines_of(out)
        process = subprocess.Popen(
            arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 300
        while lines_of(out) < before + 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        while not list(temporary.glob("facestats-*")) and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == code, said
        assert "Traceback" not in said
        assert ("interrupted; finished chunks are kept" in said) == (number == signal.SIGINT)
        for left in temporary.glob("facestats-*"):
            assert number == signal.SIGKILL, "nobody can clear up after that alone"
            shutil.rmtree(left)
        assert before < lines_of(out) < 40
    with pytest.raises(SystemExit) as ended:  # the last one in this process, which has loaded the models
        app(arguments[arguments.index("extract") :])
    assert not ended.value.code
    assert sorted(ids(out)) == sorted(fs.list_images(raw)["image_id"].to_list())


@pytest.mark.slow
def test_a_second_command_on_one_output_is_exit_6_and_other_settings_are_exit_7(tmp_path):
    out, config = tmp_path / "out.jsonl", project(tmp_path)
    with open_output(out, {"source": "s", "scores": False, "recipe": {}}):
        held = subprocess.run(
            command("--text", "a man", "--out", out, "--config", config),
            capture_output=True,
            text=True,
            check=False,
        )
    assert held.returncode == 6, held.stderr
    assert f"is being written by process {os.getpid()}" in held.stderr
    with pytest.raises(SystemExit) as ended:  # in this process, which has loaded what the other would
        app(["extract", "--text", "a man", "--out", str(out), "--config", str(config)])
    assert not ended.value.code
    assert lines_of(out) == 1
    other = subprocess.run(
        command("--text", "an elderly man", "--out", out, "--config", config),
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode == 7, other.stderr
    assert len(other.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_a_text_loads_no_library_for_pictures_or_data_sets(tmp_path):
    code = (
        "import atexit, sys\n"
        "others = {'open_clip', 'mediapipe', 'datasets', 'sklearn', 'matplotlib', 'umap'}\n"
        "atexit.register(lambda: print(*others & set(sys.modules), file=sys.stderr))\n"
        f"sys.argv = ['facestats', 'extract', '--text', 'an elderly man', '--config', {str(project(tmp_path))!r}]\n"
        "from facestats.surfaces.cli.commands import app\n"
        "app()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr.strip() == ""
    assert json.loads(run.stdout)["attributes"]["Age"] == "elderly"
