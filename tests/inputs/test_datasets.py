from __future__ import annotations

import io
import logging

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facestats.inputs.captions import list_captions
from facestats.inputs.dataset_rows import content_ids
from facestats.inputs.dataset_sources import is_dataset
from facestats.inputs.datasets import read_dataset
from facestats.inputs.textfiles import CaptionError

datasets = pytest.importorskip("datasets")


def jpeg(seed):
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def imagefolder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(3):
        (folder / f"p{i}.jpg").write_bytes(jpeg(i))
    (folder / "metadata.csv").write_text("file_name,text\np0.jpg,a man\np1.jpg,a woman\np2.jpg,red hair\n")
    return folder


@pytest.fixture
def parquet(tmp_path):
    folder = tmp_path / "table"
    (folder / "data").mkdir(parents=True)
    rows = {"image": [{"bytes": jpeg(i), "path": None} for i in range(4)], "caption": ["a", "b", "a", None]}
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    datasets.Dataset.from_dict(rows, features=features).to_parquet(
        folder / "data" / "train-00000-of-00001.parquet"
    )
    return folder


def read(source, **options):
    return pl.concat(list(read_dataset(str(source), **options)))


def test_a_local_imagefolder_gives_pictures_and_captions(imagefolder):
    frame = read(imagefolder)
    assert dict(frame.select("image_id", "text").iter_rows()) == {
        "p0.jpg": "a man",
        "p1.jpg": "a woman",
        "p2.jpg": "red hair",
    }
    assert frame.sort("image_id")["image"].to_list() == [jpeg(i) for i in range(3)]
    assert frame.select("image_id", "text").sort("image_id").equals(list_captions(imagefolder))


def test_a_local_parquet_data_set_is_named_by_content(parquet, caplog):
    assert is_dataset(parquet)
    with caplog.at_level(logging.INFO):
        frame = read(parquet)
    assert frame["text"].to_list() == ["a", "b", "a", None]
    assert frame["image_id"].is_unique().all()
    assert frame["image"].to_list() == [jpeg(i) for i in range(4)]
    assert "'image'" in caplog.text, "what was guessed is logged"
    assert list_captions(parquet).equals(frame.select("image_id", "text"))
    assert read(parquet, n_rows=2).equals(frame.head(2))
    few = list(read_dataset(str(parquet), batch_size=3))
    assert [batch.height for batch in few] == [3, 1], "no more pictures in memory than asked for"
    assert pl.concat(few).equals(frame)


def test_a_picture_that_cannot_be_decoded_does_not_end_the_stream(tmp_path, parquet):
    rows = {
        "image": [{"bytes": b"no picture", "path": None}, {"bytes": jpeg(1), "path": None}],
        "text": ["x", "y"],
    }
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    folder = tmp_path / "broken"
    folder.mkdir()
    datasets.Dataset.from_dict(rows, features=features).to_parquet(folder / "train.parquet")
    assert read(folder)["image"].to_list() == [b"no picture", jpeg(1)]


def test_columns_and_splits_that_do_not_exist_are_errors_that_list_the_others(parquet, tmp_path):
    with pytest.raises(CaptionError, match=r"'captoin'.*'caption'"):
        read(parquet, text="captoin")
    with pytest.raises(CaptionError, match=r"'pic'.*'image', 'caption'"):
        read(parquet, image="pic")
    with pytest.raises(CaptionError, match=r"no split 'test'; it has \['train'\]"):
        read(parquet, split="test")
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*nothing"):
        read(tmp_path / "nothing")


def test_a_folder_of_pictures_is_not_a_data_set(imagefolder, tmp_path):
    assert not is_dataset(imagefolder)
    assert not is_dataset(tmp_path / "missing" / "deep" / "er")
    assert is_dataset("org/name")


@given(values=st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=12))
def test_names_by_content_are_unique_and_do_not_depend_on_later_values(values):
    names = content_ids(pl.Series(values, dtype=pl.String))
    assert names.is_unique().all()
    assert content_ids(pl.Series(values[:5], dtype=pl.String)).to_list() == names.to_list()[:5]
