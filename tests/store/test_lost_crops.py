"""A crop that is missing or empty makes its row stale; it is made again bit for bit, without looking for the face."""

import shutil

import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats.store.lost_crops import find_lost
from facestats.store.table_files import write_part
from facestats.testing import FakeLandmarker, draw_faces


class Counting(FakeLandmarker):
    """Writes a line for every picture that it sees."""

    def __init__(self, log):
        self.log = log

    def find(self, pixels):
        with self.log.open("a") as stream:
            stream.write("seen\n")
        return super().find(pixels)


@pytest.fixture
def aligned(tmp_path):
    """A store of four aligned faces, its build as a function, and how often a face was looked for since."""
    draw_faces(tmp_path / "raw", n_faces=4)
    Image.new("RGB", (32, 32)).save(tmp_path / "raw/no_face.png")
    store, log = fs.Store(tmp_path), tmp_path / "log"

    def build(**options):
        log.write_text("")
        given = {"crops_dir": store.crops_dir, "size": 64, "workers": 1, "progress": False} | options
        store.build(
            "faces", fs.list_images(tmp_path / "raw"), fs.align_faces, landmarker=Counting(log), **given
        )
        return log.read_text().count("seen")

    assert build() == 5
    return store, build


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def state(store):
    return store.status().row(by_predicate=pl.col("table") == "faces", named=True)


def test_lost_crops_are_named_and_made_again_bit_for_bit(aligned, capsys):
    store, build = aligned
    before, table = contents(store.crops_dir), (store.tables_dir / "faces.parquet").read_bytes()
    assert state(store)["state"] == "fresh"
    first, second, *_ = sorted(store.crops_dir.iterdir())
    first.unlink()
    second.write_bytes(b"")
    assert state(store)["why"] == "2 crops are missing or empty"
    assert state(store)["run_from"] == "01"
    assert build() == 0
    assert "faces: 2 lost crops made again from the stored matrices" in capsys.readouterr().out
    assert contents(store.crops_dir) == before
    assert (store.tables_dir / "faces.parquet").read_bytes() == table
    assert state(store)["state"] == "fresh"
    shutil.rmtree(store.crops_dir)
    assert state(store)["why"] == "4 crops are missing or empty"
    assert build() == 0
    assert contents(store.crops_dir) == before


def test_a_crop_that_is_cut_out_differently_now_is_aligned_again(aligned):
    """The name of a crop holds a hash of its pixels, so another library that warps otherwise is noticed."""
    store, build = aligned
    faces = store.read("faces", fingerprint=True)
    name = faces["crop"][0]
    other = name[:-12] + "00000000.jpg"
    changed = faces.with_columns(crop=pl.when(pl.col("crop") == name).then(pl.lit(other)).otherwise("crop"))
    meta = store.provenance("faces")
    files = store._files("faces")
    write_part(changed, files.work / "next.parquet", meta)
    files.publish(files.work / "next.parquet")
    assert state(store)["why"] == "1 crops are missing or empty"
    assert build() == 1
    assert store.read("faces", fingerprint=True).equals(faces)


def test_crops_of_an_interrupted_run_are_made_again_too(aligned):
    store, _build = aligned
    other = fs.Store(store.data_dir / "other")

    def stop(chunk, **given):
        if chunk["image_id"][0] == "face_002.png":
            raise KeyboardInterrupt
        return fs.align_faces(chunk, **given)

    given = {"landmarker": FakeLandmarker(), "crops_dir": other.crops_dir, "size": 64, "workers": 1}
    stop.__module__, stop.__qualname__ = fs.align_faces.__module__, fs.align_faces.__qualname__
    images = fs.list_images(store.data_dir / "raw")
    with pytest.raises(KeyboardInterrupt):
        other.build("faces", images, stop, chunk_size=2, progress=False, **given)
    for crop in other.crops_dir.iterdir():
        crop.write_bytes(b"")
    other.build("faces", images, fs.align_faces, chunk_size=2, progress=False, **given)
    assert contents(other.crops_dir) == contents(store.crops_dir)
    assert other.read("faces").equals(store.read("faces"))


def test_crops_in_a_folder_of_their_own_are_looked_for_there(aligned, tmp_path):
    other = fs.Store(tmp_path / "other")
    given = {"landmarker": FakeLandmarker(), "crops_dir": tmp_path / "elsewhere", "size": 64, "workers": 1}
    other.build("faces", fs.list_images(tmp_path / "raw"), fs.align_faces, progress=False, **given)
    assert state(other)["state"] == "fresh"
    next((tmp_path / "elsewhere").iterdir()).unlink()
    assert state(other)["why"] == "1 crops are missing or empty"


def test_rows_without_crops_are_not_lost(tmp_path):
    assert find_lost([], tmp_path).is_empty()
    pl.DataFrame({"image_id": ["a"]}).write_parquet(tmp_path / "x.parquet")
    assert find_lost([tmp_path / "x.parquet"], tmp_path).is_empty()
