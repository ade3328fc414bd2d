"""Local data sets are read by explicit rules: every file is a row, a caption, or named as left out."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import facestats.inputs.tar_files
from facestats.inputs.captions import list_captions
from facestats.inputs.dataset_rows import Row, to_frames
from facestats.inputs.dataset_sources import is_dataset
from facestats.inputs.datasets import read_dataset
from facestats.inputs.splits import split_files
from facestats.inputs.stored_datasets import is_hub_name
from facestats.inputs.textfiles import CaptionError


def jpeg(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()


def write(folder, *names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg(i))
    return folder


def make_tar(file, **members):
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            data = content.encode() if isinstance(content, str) else content
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file


def read(source, **options):
    """Rows by name, and what was said."""
    said = []
    frames = list(read_dataset(str(source), report=said.append, **options))
    frame = pl.concat(frames)
    assert frame["image_id"].is_unique().all()
    return {row["image_id"]: row for row in frame.iter_rows(named=True)}, "\n".join(said)


def texts(rows):
    return {name: row["text"] for name, row in rows.items()}


@pytest.mark.parametrize(
    "names",
    [
        ("anna.maria.jpg", "a.b.c.jpg"),
        ("train.jpg", "test.jpg", "other.jpg"),
        ("bus/a.jpg", "train/a.jpg", "car/a.jpg"),
        ("train/a.jpg", "b.jpg"),
    ],
)
def test_every_picture_of_a_folder_is_a_row(tmp_path, names):
    rows, said = read(write(tmp_path, *names))
    assert sorted(rows) == sorted(names)
    assert all(row["image"] == (tmp_path / name).read_bytes() for name, row in rows.items())
    assert f"reading {len(names)} picture" in said
    assert "left out" not in said


def test_the_split_that_is_read_and_those_left_out_are_named(tmp_path):
    folder = write(tmp_path, "test/c.jpg", "train/a.jpg", "train/b.jpg")
    rows, said = read(folder)
    assert sorted(rows) == ["train/a.jpg", "train/b.jpg"]
    assert "reading split 'train': 2 pictures; left out: split 'test' (1 picture)" in said
    assert "--split all" in said
    assert sorted(read(folder, split="test")[0]) == ["test/c.jpg"]
    rows, said = read(folder, split="all")
    assert len(rows) == 3
    assert "left out" not in said
    with pytest.raises(CaptionError, match=r"no split 'val'; it has \['train', 'test'\]"):
        read_dataset(str(folder), split="val")
    with pytest.raises(CaptionError, match="it has none; leave the split out"):
        read_dataset(str(write(tmp_path / "flat", "a.jpg")), split="train")


def test_metadata_for_some_pictures_loses_none(tmp_path):
    write(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "metadata.csv").write_text("file_name,text\na.jpg,a man\n")
    assert texts(read(tmp_path)[0]) == {"a.jpg": "a man", "b.jpg": None}


@pytest.mark.parametrize("named", ["a.jpg", "images/a.jpg", "./images/a.jpg"])
def test_a_table_beside_the_pictures_holds_captions(tmp_path, named):
    write(tmp_path, "images/a.jpg", "images/b.jpg")
    (tmp_path / "train.csv").write_text(f"id,file,caption\n1,{named},a man\n2,gone.jpg,nobody\n")
    rows, said = read(tmp_path)
    assert texts(rows) == {"images/a.jpg": "a man", "images/b.jpg": None}
    assert "left out" not in said


def test_a_table_that_names_no_picture_is_left_out_by_name(tmp_path):
    write(tmp_path, "a.jpg")
    (tmp_path / "sales.csv").write_text("month,text\n1,2\n")
    (tmp_path / "README.md").write_text("hello")
    rows, said = read(tmp_path)
    assert texts(rows) == {"a.jpg": None}
    assert "left out: 2 other files (1 .csv, 1 .md)" in said


def test_the_files_of_img2dataset_are_pictures_with_captions(tmp_path):
    write(tmp_path, "00000/000000001.jpg", "00000/000000002.jpg")
    for i in (1, 2):
        (tmp_path / f"00000/00000000{i}.txt").write_text(f"person {i}")
        (tmp_path / f"00000/00000000{i}.json").write_text(json.dumps({"key": f"00000000{i}", "width": 24}))
    pl.DataFrame({"key": ["000000001"], "url": ["http://a"], "caption": ["x"]}).write_parquet(
        tmp_path / "00000.parquet"
    )
    rows, said = read(tmp_path)
    assert texts(rows) == {"00000/000000001.jpg": "person 1", "00000/000000002.jpg": "person 2"}
    assert "1 .parquet" in said
    assert "read 2 rows, 2 pictures, 2 texts" in said


def test_a_tar_is_read_by_key_in_any_order(tmp_path):
    file = make_tar(
        tmp_path / "00000.tar",
        **{
            "a.jpg": jpeg(1),
            "./b.seg.png": b"a mask",
            "a.txt": "a man\n",
            "c.json": json.dumps({"caption": "only words"}),
            "b.PNG": b"broken",
            "b.caption": "a woman",
            "d.cls": "3",
        },
    )
    rows, said = read(file)
    assert texts(rows) == {"a.jpg": "a man", "b.seg.png": "a woman", "b.PNG": "a woman", "c": "only words"}
    assert rows["a.jpg"]["image"] == jpeg(1)
    assert rows["b.PNG"]["image"] == b"broken", "a picture that cannot be decoded is a row"
    assert "1 .cls" in said


def test_tars_of_img2dataset_with_their_tables_are_read_without_those(tmp_path):
    for shard in ("00000", "00001"):
        make_tar(tmp_path / f"{shard}.tar", **{"000.jpg": jpeg(), "000.txt": shard, "000.json": "{}"})
        pl.DataFrame({"key": ["000"], "caption": [shard]}).write_parquet(tmp_path / f"{shard}.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    assert is_dataset(tmp_path)
    rows, said = read(tmp_path)
    assert texts(rows) == {"00000/000.jpg": "00000", "00001/000.jpg": "00001"}
    assert "2 .tar files; left out: 3 other files (2 .parquet, 1 .json)" in said
    assert list_captions(tmp_path)["text"].to_list() == ["00000", "00001"]


def test_what_is_no_regular_member_of_a_tar_is_never_read(tmp_path):
    file = tmp_path / "evil.tar"
    with tarfile.open(file, "w") as tar:
        for name, kind in (
            ("link.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("pipe.jpg", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("../../up.jpg")
        info.size = len(jpeg())
        tar.addfile(info, io.BytesIO(jpeg()))
    rows, said = read(file)
    assert list(rows) == ["../../up.jpg"], "it is a name, and no path: nothing is unpacked"
    assert "3 a link, a device or a hidden file" in said
    assert [p.name for p in tmp_path.rglob("*")] == ["evil.tar"]


def test_a_member_that_is_too_large_is_a_row_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(facestats.inputs.tar_files, "MAX_BYTES", 100)
    rows, _ = read(make_tar(tmp_path / "a.tar", **{"a.jpg": b"x" * 101, "b.jpg": b"x" * 100}))
    assert (rows["a.jpg"]["status"], rows["a.jpg"]["image"]) == ("too_large", None)
    assert rows["b.jpg"]["image"] == b"x" * 100


@given(cut=st.integers(1, 5000))
def test_a_tar_that_ends_early_says_so(tmp_path_factory, cut):
    file = make_tar(tmp_path_factory.mktemp("tar") / "a.tar", **{f"{i}.jpg": jpeg(i) for i in range(3)})
    whole = file.read_bytes().rstrip(b"\0")
    file.write_bytes(whole[: max(len(whole) - cut, 0)])
    rows, _ = read(file)
    assert "a.tar" in rows
    assert rows["a.tar"]["status"] in {"truncated", "not_image", "corrupt"}
    for name in set(rows) - {"a.tar"}:
        assert jpeg(int(name[0])).startswith(rows[name]["image"])


@given(junk=st.binary(max_size=2000), at=st.integers(0, 3000))
def test_no_tar_crashes_the_reader(tmp_path_factory, junk, at):
    file = make_tar(
        tmp_path_factory.mktemp("tar") / "a.tar", **{"a.jpg": jpeg(), "a.txt": "x", "b.jpg": b"y"}
    )
    data = file.read_bytes()
    file.write_bytes(data[:at] + junk + data[at + len(junk) :])
    try:
        read(file)
    except FileNotFoundError as error:
        assert "nothing was read" in str(error)


def test_a_table_of_pictures_is_read_with_its_splits(tmp_path):
    for name, n in (("train-00000-of-00001", 2), ("test-00000-of-00001", 1)):
        pictures = [{"bytes": jpeg(i), "path": f"{name}-{i}.jpg"} for i in range(n)]
        frame = pl.DataFrame({"image": pictures, "caption": ["a"] * n})
        (tmp_path / "data").mkdir(exist_ok=True)
        frame.write_parquet(tmp_path / "data" / f"{name}.parquet")
    write(tmp_path, "assets/logo.jpg")
    rows, said = read(tmp_path)
    assert list(rows) == ["assets/logo.jpg", "train-00000-of-00001-0.jpg", "train-00000-of-00001-1.jpg"]
    assert "split 'test' (1 file)" in said


def test_a_table_of_bytes_or_of_texts_is_read_and_paths_stay_below_its_folder(tmp_path):
    file = tmp_path / "a.parquet"
    pl.DataFrame({"photo": [jpeg(), None], "id": ["x", "y"]}).write_parquet(file)
    rows, _ = read(file)
    assert {name: row["image"] for name, row in rows.items()} == {"x": jpeg(), "y": None}
    pl.DataFrame({"id": [1, 1], "caption": ["a", "b"]}).write_parquet(file)
    assert texts(read(file)[0]) == {"1": "a", "1-2": "b"}
    inside = write(tmp_path, "p/in.jpg") / "p" / "in.jpg"
    images = [{"bytes": None, "path": path} for path in ("p/in.jpg", "/etc/hostname", "gone.jpg")]
    pl.DataFrame({"image": images}).write_parquet(file)
    rows, _ = read(file)
    assert rows["p/in.jpg"]["image"] == inside.read_bytes()
    assert [row["status"] for row in rows.values()] == [None, "vanished", "vanished"]


def test_a_folder_of_tables_of_texts_is_read(tmp_path):
    (tmp_path / "train.csv").write_text("text\na man\n")
    (tmp_path / "test.csv").write_text("text\na woman\n")
    rows, said = read(tmp_path)
    assert list(texts(rows).values()) == ["a man"]
    assert "split 'test' (1 file)" in said
    assert list(texts(read(tmp_path, split="all")[0]).values()) == ["a man", "a woman"]


def test_nothing_to_read_is_not_found(tmp_path):
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"nothing to read in .*\(1 \.md\)"):
        read_dataset(str(tmp_path))
    empty = make_tar(tmp_path / "empty.tar", **{"a.cls": "1"})
    with pytest.raises(FileNotFoundError, match="nothing was read"):
        read(empty)


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"no table")
    with pytest.raises(CaptionError, match=r"a\.parquet cannot be read as Parquet"):
        read_dataset(str(tmp_path))


@pytest.mark.parametrize(
    "source", ["captions.csv", "./a/b", "~/a", "../a", "a", "a/b/c", "x/pictures.tar", "a/b.parquet", "/a/b"]
)
def test_a_path_is_never_looked_up_on_the_hub(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not is_hub_name(source)
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        read_dataset(source)


def test_a_name_is_one_of_the_hub_only_if_nothing_here_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("org/name-1.0_x")
    (tmp_path / "org").mkdir()
    assert not is_hub_name("org/name"), "the folder org is here, so that a missing path is meant"


def test_a_picture_is_no_data_set(tmp_path):
    write(tmp_path, "a.jpg")
    with pytest.raises(CaptionError, match="--image"):
        read_dataset(str(tmp_path / "a.jpg"))


def test_a_data_set_that_was_saved_to_disk_is_read_with_its_splits(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "caption": datasets.Value("string")})
    parts = {
        name: datasets.Dataset.from_dict(
            {"image": [{"bytes": jpeg(), "path": None}], "caption": [name]}, features=features
        )
        for name in ("train", "test")
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "two"))
    rows, said = read(tmp_path / "two")
    assert list(texts(rows).values()) == ["train"]
    assert "left out: the splits ['test']" in said
    assert sorted(texts(read(tmp_path / "two", split="all")[0]).values()) == ["test", "train"]
    parts["train"].save_to_disk(str(tmp_path / "one"))
    assert [row["image"] for row in read(tmp_path / "one")[0].values()] == [jpeg()]


@given(
    st.lists(
        st.sampled_from(["a.jpg", "train/a.jpg", "val/b.jpg", "data/test/c.jpg", "x/d.jpg"]), unique=True
    )
)
def test_splits_divide_all_paths(paths):
    divided = split_files(paths, by_file_name=False)
    assert sorted(path for part in divided.values() for path in part) == sorted(paths)
    assert all(divided.values()) or not paths


@given(st.lists(st.sampled_from(["x", "x-2", "x-3", "y"]), max_size=12), st.integers(1, 4))
def test_every_row_has_a_name_of_its_own(names, size):
    frames = list(to_frames([Row(name) for name in names], size))
    made = [name for frame in frames for name in frame["image_id"]]
    assert len(set(made)) == len(made) == len(names)
    assert all(frame.height <= size for frame in frames)


def test_a_text_of_a_tar_belongs_to_the_picture_of_the_same_stem(tmp_path):
    members = {
        "Mr. X.png": jpeg(1), "Mr. Y.png": jpeg(2), "Mr. Y.txt": "I am Y", "img.001.jpg": jpeg(3), "img.001.txt": "one",
        "img.002.jpg": jpeg(4), "img.002.txt": "two", "anna.left.jpg": jpeg(5), "anna.txt": "Anna", "u.jpg": jpeg(6),
        "u.caption.txt": "U", "Dr. A.jpg": jpeg(7), "Dr. B.txt": "B",
    }  # fmt: skip
    rows, said = read(make_tar(tmp_path / "a.TAR", **members))
    assert texts(rows) == {
        "Mr. X.png": None, "Mr. Y.png": "I am Y", "img.001.jpg": "one", "img.002.jpg": "two", "anna.left.jpg": "Anna",
        "u.jpg": "U", "Dr. A.jpg": None,
    }  # fmt: skip
    assert "1 a text of no picture" in said


def test_the_name_column_of_a_parquet_names_the_rows_and_other_values_are_no_pictures(tmp_path):
    image = [{"bytes": jpeg(i), "path": "image.jpg"} for i in range(2)]
    pl.DataFrame({"image": image, "image_id": ["p1", "p2"]}).write_parquet(tmp_path / "a.parquet")
    assert [*read(tmp_path / "a.parquet")[0]] == ["p1", "p2"]
    pl.DataFrame({"n": [1], "image_id": ["p1"]}).write_parquet(tmp_path / "b.parquet")
    (row,) = read(tmp_path / "b.parquet", image="n")[0].values()
    assert (row["status"], "holds int instead of a picture" in row["error"]) == ("not_image", True)
