"""Labelling by hand as a person does it: in JupyterLab in a browser, with keys and clicks, and with a kernel that dies."""

import os
import signal
import time

import polars as pl
import pytest

import facestats as fs
from tests.browser import lab, needs_browser
from tests.conftest import ROOT

__all__ = ["lab"]
pytestmark = [needs_browser, pytest.mark.slow]

SETUP = """
import os
import facestats as fs
cfg = fs.load_config("config.yaml")
store = fs.Store(cfg.data_dir)
faces, attributes = store.read("faces"), store.read("attributes")
picked = fs.human_labels.sample(attributes.join(faces.select("image_id", "crop"), on="image_id"), "gender", n_rows=20, seed=0)
print(os.getpid())
"""
ASK = """
box = fs.label_by_hand(
    picked, store.crops_dir, attribute="gender", options=list(cfg.attributes["gender"].options),
    labeller="anna", file=cfg.labels_file,
)
box
"""
MERGE = """
human = fs.human_labels.read(cfg.labels_file, cfg.attributes)
master = fs.merge_master(faces, attributes=attributes, human=human)
print(master.filter(gender_source="human").height, master.filter(gender_source="human", gender="female").height)
"""


@pytest.fixture
def project(lab):
    """Thirty drawn faces, aligned and labelled by stand-ins, in the folder that JupyterLab shows."""
    (lab.folder / "config.yaml").write_text(
        f"data_dir: data\nattributes: {ROOT / 'config/attributes.yaml'}\n"
    )
    cfg = fs.load_config(lab.folder / "config.yaml")
    fs.testing.draw_faces(cfg.raw_dir, n_faces=30)
    store, encoder = fs.Store(cfg.data_dir), fs.testing.FakeEncoder()
    images = fs.list_images(cfg.raw_dir)
    faces = fs.align_faces(images, fs.testing.FakeLandmarker(), store.crops_dir, size=128, workers=1)
    store.write("faces", faces)
    vectors = fs.embed_faces(faces, encoder, store.crops_dir, raw_dir=cfg.raw_dir)
    store.write("attributes", fs.label_attributes(vectors, encoder, cfg.attributes))
    return cfg


def wait_for(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.1)


def answers(cfg):
    return pl.read_csv(cfg.labels_file).height if cfg.labels_file.is_file() else 0


def test_twenty_rows_are_labelled_although_the_kernel_dies(lab, project, tmp_path):
    lab.open(SETUP, ASK, MERGE)
    kernel = int(lab.run(0).split()[-1])
    lab.run(1)
    widget = lab.cell(1)
    widget.get_by_text("1 of 20").wait_for()
    field = widget.locator("input[type=text]")
    field.click()
    lab.page.keyboard.type("2221", delay=40)
    wait_for(lambda: answers(project) == 4)
    lab.page.keyboard.press("Backspace")  # the last one was a slip
    widget.get_by_text("4 of 20").wait_for()
    widget.get_by_role("button", name="2 female").click()
    for place in range(5, 9):
        widget.get_by_text(f"{place} of 20").wait_for()
        widget.get_by_role("button", name="1 male", exact=False).first.click()
    widget.get_by_text("9 of 20").wait_for()
    picture = lab.picture(widget)
    widget.screenshot(path=os.environ.get("FACESTATS_SCREENSHOT", tmp_path / "labelling.png"))
    assert picture.std() > 10
    assert (
        fs.human_labels.read(project.labels_file, project.attributes)["value"].to_list().count("female") == 4
    )

    os.kill(kernel, signal.SIGKILL)
    assert fs.human_labels.read(project.labels_file, project.attributes).height == 8
    lab.page.wait_for_timeout(3000)  # JupyterLab starts another one
    lab.page.keyboard.press("Escape")
    for dialog in lab.page.locator(".jp-Dialog button").all():
        dialog.click()
    lab.open(SETUP, ASK, MERGE)
    assert int(lab.run(0).split()[-1]) != kernel
    lab.run(1)
    lab.cell(1).get_by_text("1 of 12").wait_for()
    lab.cell(1).locator("input[type=text]").click()
    lab.page.keyboard.type("222222111111", delay=20)
    lab.cell(1).get_by_text("no face is left to label").wait_for()
    labels = fs.human_labels.read(project.labels_file, project.attributes)
    assert labels.height == 20
    assert set(labels["reason"]) == {"low_margin", "random"}
    assert lab.run(2).split() == ["20", "10"]
