import re

import ipywidgets as widgets
import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats.core.shown_text import visible
from facestats.human_labels.answers_file import LabelError
from facestats.human_labels.labels import answered
from tests.hostile_names import HOSTILE_NAMES

OPTIONS = ("male", "female", "non-binary")


@pytest.fixture
def faces(tmp_path):
    for i in range(5):
        Image.new("RGB", (64, 64), (50 * i, 0, 0)).save(tmp_path / f"{i}.png")
    reasons = ["low_margin", "low_margin", "conflict", "random", "random"]
    crops = [f"{i}.png" for i in range(5)]
    return pl.DataFrame({"image_id": [f"p{i}" for i in range(5)], "crop": crops, "reason": reasons})


def box(faces, folder, **more):
    settings = {"attribute": "gender", "options": OPTIONS, "labeller": "anna", "file": folder / "labels.csv"}
    return fs.label_by_hand(faces, folder, **{**settings, **more})


def lines(folder):
    rows = (folder / "labels.csv").read_text().splitlines()[1:]
    return [(r[0], r[2], r[5]) for r in (line.split(",") for line in rows)]


def buttons(widget):
    return {b.description: b for row in widget.children[2:4] for b in row.children if hasattr(b, "click")}


def keys(widget):
    return widget.children[3].children[-1]


def test_a_click_is_on_the_disk_before_the_next_face_comes(faces, tmp_path):
    widget = box(faces, tmp_path)
    first = bytes(widget.children[1].value)
    buttons(widget)["2 female"].click()
    assert lines(tmp_path) == [("p0", "female", "low_margin")]
    assert bytes(widget.children[1].value) != first
    buttons(widget)["0 skip"].click()
    buttons(widget)["1 male"].click()
    assert [line[0] for line in lines(tmp_path)] == ["p0", "p2"]
    assert (widget.n_done, widget.n_left) == (2, 2)
    assert repr(widget) == "Labelling('gender', by 'anna': 2 done, 2 left)"


def test_keys_answer_and_backspace_takes_back(faces, tmp_path):
    widget = box(faces, tmp_path)
    keys(widget).value = "1"
    keys(widget).value = "1x30"  # typed faster than the kernel reads; x is not an option
    assert [line[:2] for line in lines(tmp_path)] == [("p0", "male"), ("p1", "non-binary")]
    assert (widget.n_done, widget.n_left) == (2, 2)
    keys(widget).value = "1"
    assert (widget.n_done, widget.n_left) == (1, 4)
    assert lines(tmp_path)[-1][:2] == ("p1", "")
    keys(widget).value = "2"  # the whole text replaced
    assert lines(tmp_path)[-1][:2] == ("p1", "female")


def test_after_a_kill_the_same_call_goes_on(faces, tmp_path):
    widget = box(faces, tmp_path)
    for option in ("male", "female"):
        widget.answer(option)
    widget.answer("male")
    widget.undo()
    again = box(faces, tmp_path)
    assert again.n_left == 3
    assert box(faces, tmp_path, labeller="ben").n_left == 5
    assert box(faces, tmp_path, attribute="age").n_left == 5
    for _ in range(4):
        again.answer("female")
    assert (again.n_done, again.n_left) == (3, 0)
    assert "no face is left" in again.children[0].value
    assert buttons(again)["1 male"].disabled
    assert box(faces, tmp_path).n_left == 0


def test_what_cannot_be_written_stays_and_says_so(faces, tmp_path):
    (tmp_path / "labels.csv").write_text("name,hair\nx,y\n")
    with pytest.raises(LabelError, match="lacks"):
        box(faces, tmp_path)
    (tmp_path / "labels.csv").unlink()
    widget = box(faces, tmp_path)
    (tmp_path / "labels.csv").mkdir()
    widget.answer("male")
    assert (widget.n_done, widget.n_left) == (0, 5)
    assert "could not be written" in widget.children[-1].value


def test_crops_that_cannot_be_read_are_passed_over_by_name(faces, tmp_path):
    (tmp_path / "0.png").write_bytes(b"no picture")
    without = faces.with_columns(crop=pl.when(pl.col("image_id") != "p3").then("crop"))
    widget = box(without, tmp_path)
    assert widget.n_left == 3
    assert "0.png" in widget.children[-1].value
    widget.answer("male")
    assert lines(tmp_path)[0][0] == "p1"


def test_what_is_missing_is_named(faces, tmp_path):
    with pytest.raises(ValueError, match="options must be 2 to 35 different answers"):
        box(faces, tmp_path, options=["male"])
    with pytest.raises(ValueError, match="labeller must name the person who answers"):
        box(faces, tmp_path, labeller=" ")
    with pytest.raises(fs.tables.TableError, match="crop"):
        box(faces.drop("crop"), tmp_path)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_face_of_any_name_is_labelled_and_read_again_or_refused_and_no_name_is_a_tag(name, tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "0.png")
    names = [f"other {name}", name, f"{name}!"]
    faces = pl.DataFrame({"image_id": names, "crop": ["0.png", "0.png", f"{name[:100]}.png"]})
    widget = box(faces, tmp_path, attribute=name, labeller=name)
    html = [part for part in widget.children if isinstance(part, widgets.HTML)]
    for _ in range(2):
        widget.answer("male")
        assert widget.n_left < 3 or "line break" in html[-1].value
        widget.answer(None)
    for part in html:
        assert set(re.findall(r"<(/?\w+)", part.value)) <= {"b", "/b"}
        assert visible(part.value) == part.value
    file = tmp_path / "labels.csv"
    if file.exists():
        assert answered(file, name, labeller=name) == {f"other {name}"}
