"""Rows of data sets and side files of pictures name no file outside their folder."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image

from facestats.inputs.captions import list_captions
from facestats.inputs.datasets import read_dataset
from facestats.inputs.metadata import read_metadata
from facestats.inputs.textfiles import CaptionError
from tests.small_hub import SmallHub

OUTSIDE = ("/etc/hostname", "/dev/zero", "../outside.jpg", "out.jpg", "pipe.jpg", "a\0b", "x" * 5000, "", ".")
CLIENT = """
import json, sys
import facestats as fs

(frame,) = fs.read_dataset("org/rows", report=lambda line: None)
sizes = frame["image"].bin.size().fill_null(0)
print(json.dumps([*zip(frame["image_id"], frame["status"].cast(str), sizes)]))
"""


def jpeg(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def surroundings(folder):
    """A folder with one good picture, a pipe, and a link to a picture outside of it."""
    folder.mkdir(exist_ok=True)
    (folder.parent / "outside.jpg").write_bytes(jpeg(1))
    (folder / "in.jpg").write_bytes(jpeg())
    (folder / "out.jpg").symlink_to(folder.parent / "outside.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return folder


def statuses(source):
    return pl.concat(read_dataset(str(source), report=print)).filter(
        pl.col("image").is_not_null() | pl.col("status").is_not_null()
    )


@pytest.mark.timeout(120)
def test_a_table_gives_no_file_outside_its_folder(tmp_path):
    folder = surroundings(tmp_path / "set")
    images = [{"bytes": None, "path": path} for path in ("in.jpg", *OUTSIDE)]
    pl.DataFrame({"id": [f"r{i}" for i in range(len(images))], "image": images}).write_parquet(
        folder / "a.parquet"
    )
    frame = statuses(folder / "a.parquet")
    assert frame["image"].drop_nulls().to_list() == [jpeg()]
    lost = frame.filter(pl.col("image").is_null())
    assert lost.height == len([path for path in OUTSIDE if path])
    assert set(lost["status"]) == {"vanished"}
    assert lost["error"].str.contains("no such file below").all()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["struct", "text"])
def test_a_data_set_that_was_saved_to_disk_gives_no_file_outside_its_folder(tmp_path, kind):
    datasets = pytest.importorskip("datasets")
    paths = ["in.jpg", *(path for path in OUTSIDE if path)]
    folder = tmp_path / "set"
    if kind == "text":
        datasets.Dataset.from_dict({"image": paths}).save_to_disk(str(folder))
    else:
        features = datasets.Features({"image": datasets.Image()})
        held = datasets.Dataset.from_dict({"image": [{"bytes": jpeg(), "path": None}]}, features=features)
        held.save_to_disk(str(folder))
        # save_to_disk itself would read the pictures
        table = pa.table({"image": [{"bytes": None, "path": path} for path in paths]}, held.data.schema)
        (file,) = folder.glob("*.arrow")
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    surroundings(folder)
    frame = pl.concat(read_dataset(str(folder), report=print))
    assert frame["image"].drop_nulls().to_list() == [jpeg()]
    assert frame["status"].drop_nulls().to_list() == ["vanished"] * (len(paths) - 1)


@pytest.mark.slow
def test_a_data_set_of_the_hub_gives_its_own_files_alone(tmp_path):
    pytest.importorskip("datasets")
    rows = tmp_path / "rows"
    rows.mkdir()
    images = [
        {"bytes": None, "path": path} for path in ("/etc/hostname", "hf://datasets/other/one@main/a.jpg")
    ]
    images.append({"bytes": jpeg(), "path": "own.jpg"})
    pl.DataFrame({"image": images, "text": ["a", "b", "c"]}).write_parquet(rows / "train.parquet")
    files = tmp_path / "files"
    files.mkdir()
    (files / "p.jpg").write_bytes(jpeg())
    (files / "metadata.csv").write_text("file_name,text\np.jpg,a\n")
    assert _read_from_hub(rows, tmp_path / "home") == [
        ["hostname", "vanished", 0],
        ["a.jpg", "vanished", 0],
        ["own.jpg", None, len(jpeg())],
    ]
    assert _read_from_hub(files, tmp_path / "home2") == [["p.jpg", None, len(jpeg())]]


def _read_from_hub(folder, home):
    with SmallHub({"org/rows": {"main": folder}}) as hub:
        command = [sys.executable, "-c", CLIENT]
        env = hub.environment(home)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ["metadata.csv", "captions.jsonl", "in.txt", "in.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "gone"])
def test_captions_and_metadata_that_are_links_or_pipes_are_refused_by_name(tmp_path, name, kind):
    folder = surroundings(tmp_path / "raw")
    (tmp_path / "secret").write_text("file_name,text\nin.jpg,secret\n")
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to(tmp_path / ("secret" if kind == "link" else "../gone"))
    words = {"link": "a link that leaves", "pipe": "a pipe, not a regular file", "gone": "a link that leaves"}
    with pytest.raises(CaptionError, match=rf"{name} is {words[kind]}"):
        list_captions(folder)
    if name.startswith(("metadata", "captions")):
        with pytest.raises(CaptionError, match=rf"{name} is {words[kind]}"):
            read_metadata(folder)


def test_links_within_the_folder_are_read(tmp_path):
    folder = surroundings(tmp_path / "raw")
    (folder / "real.csv").write_text("file_name,text\nin.jpg,a man\n")
    (folder / "metadata.csv").symlink_to("real.csv")
    assert dict(list_captions(folder).iter_rows())["in.jpg"] == "a man"
    (folder / "metadata.csv").unlink()
    (folder / "metadata.csv").symlink_to("gone.csv")
    with pytest.raises(CaptionError, match=r"metadata\.csv cannot be read: No such file"):
        list_captions(folder)


def test_a_tar_or_table_that_is_a_link_leading_out_of_a_data_set_is_refused(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    pl.DataFrame({"image": [jpeg()]}).write_parquet(tmp_path / "private.parquet")
    (folder / "train.parquet").symlink_to(tmp_path / "private.parquet")
    with pytest.raises(CaptionError, match=r"train\.parquet is a link that leaves"):
        read_dataset(str(folder))
    assert statuses(folder / "train.parquet").height == 1, "a file that the user names is read"
