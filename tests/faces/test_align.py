import os
import signal
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import facestats as fs
from facestats.core.protocols import Face, ModelError
from facestats.core.tables import FACES, KEY, TableError, check_table
from facestats.faces.align import align_faces
from facestats.inputs.listing import list_images
from facestats.pictures.crops import crop_name
from facestats.pictures.geometry import PUPILS, crop_face, transform_points
from facestats.store.table_files import TableFiles
from facestats.testing import FakeLandmarker, draw_faces

OK = ("ok", "ok_first_frame")
BLUE = (10, 20, 250)


class ManyFaces:
    """Finds as many faces as the red of the first pixel says, larger to the right, without depth and irises."""

    name = "many@1"

    def find(self, pixels):
        one = FakeLandmarker().find(pixels)
        if not one:
            return []
        faces = []
        for i in range(int(pixels[0, 0, 0]) % 4):
            points = one[0].points[:468] * (0.2 + 0.1 * i) + (80 * i, 0)
            box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
            faces.append(Face(points, None, box, float("nan"), self.name))
        return faces


class BoxOnly:
    """Finds a box without landmarks."""

    name = "box@1"

    def find(self, pixels):
        return [Face(None, None, (60.0, 40.0, 260.0, 290.0), float("nan"), self.name)]


class FailsOnBlue:
    """Fails, dies or is missing when it gets a blue picture."""

    def __init__(self, how):
        self.name = f"moody {how}@1"
        self.how = how

    def find(self, pixels):
        if tuple(pixels[0, 0]) != BLUE:
            return FakeLandmarker().find(pixels)
        if self.how == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "memory":
            raise MemoryError
        msg = "the graph\nfailed"
        raise {"fails": RuntimeError, "missing": ModelError}[self.how](msg)


@pytest.fixture
def raw(tmp_path):
    draw_faces(tmp_path / "raw", n_faces=5)
    return tmp_path / "raw"


def align(raw, crops, landmarker=None, **options):
    return align_faces(list_images(raw), landmarker or FakeLandmarker(), crops, workers=2, **options)


def read(path):
    return np.asarray(Image.open(path))


def test_every_picture_is_a_row_in_order_with_the_promised_columns(raw, tmp_path):
    images = list_images(raw)[[3, 0, 4, 1, 2]]
    faces = align_faces(images, FakeLandmarker(), tmp_path / "crops")
    check_table(faces, FACES)
    assert faces.columns == list(FACES.columns)
    assert faces[KEY].equals(images[KEY])
    assert faces["status"].to_list() == ["ok"] * 5
    assert faces["error"].null_count() == 5
    assert faces.drop("error", "icc_profile").null_count().sum_horizontal().item() == 0
    assert faces["bytes"].equals(images["bytes"])
    assert faces["n_faces"].to_list() == [1] * 5
    assert all(c.startswith(f"{i}.") for i, c in zip(images[KEY], faces["crop"], strict=True))


def test_crops_are_the_promised_warp_of_the_picture(raw, tmp_path):
    faces = align(raw, tmp_path / "crops", size=256)
    for row in faces.iter_rows(named=True):
        crop = read(tmp_path / "crops" / row["crop"])
        again = crop_face(read(raw / row[KEY]), row["matrix"], 256)
        assert crop.shape == (256, 256, 3)
        assert np.abs(crop.astype(int) - again).mean() < 2  # JPEG
        pupils = transform_points(np.array(row["landmarks"])[[468, 473]], row["matrix"])
        # the drawn face differs from the template, so its pupils are near those of the template and at one height
        assert np.abs(pupils - np.array(PUPILS) * 256).max() < 26
        assert abs(pupils[0, 1] - pupils[1, 1]) < 1


def test_crops_keep_full_colour_resolution(raw, tmp_path):
    faces = align(raw, tmp_path / "crops")
    with Image.open(tmp_path / "crops" / faces["crop"][0]) as crop:
        assert crop.format == "JPEG"
        assert all(layer[1:3] == (1, 1) for layer in crop.layer)


def test_the_result_depends_neither_on_the_workers_nor_on_the_order(raw, tmp_path):
    images = list_images(raw)
    one = align_faces(images, FakeLandmarker(), tmp_path / "one", workers=1)
    two = align_faces(images.reverse(), FakeLandmarker(), tmp_path / "two", workers=2)
    assert one.equals(two.sort(KEY))
    for name in one["crop"]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_but_crops_is_left_behind(raw, tmp_path):
    faces = align(raw, tmp_path / "crops")
    found = {
        p.relative_to(tmp_path / "crops").as_posix() for p in (tmp_path / "crops").rglob("*") if p.is_file()
    }
    assert found == set(faces["crop"])


def test_what_was_listed_with_a_status_passes_through(raw, tmp_path):
    os.mkfifo(raw / "pipe.jpg")
    images = list_images(raw)
    row = align_faces(images, FakeLandmarker(), tmp_path).row(
        by_predicate=pl.col(KEY) == "pipe.jpg", named=True
    )
    assert row["status"] == "not_regular_file"
    assert row["error"] == images.filter(pl.col(KEY) == "pipe.jpg")["error"].item()
    assert all(v is None for k, v in row.items() if k not in {KEY, "status", "error"})


def test_failures_keep_what_was_known_of_the_picture(raw, tmp_path):
    Image.new("RGB", (100, 80), (9, 9, 9)).save(raw / "blank.png")
    (raw / "caption.jpg").write_text("no picture")
    faces = {row[KEY]: row for row in align(raw, tmp_path / "crops").iter_rows(named=True)}
    blank, text = faces["blank.png"], faces["caption.jpg"]
    assert (blank["status"], blank["width"], blank["height"], blank["format"]) == ("no_face", 100, 80, "PNG")
    assert (blank["n_faces"], blank["crop"], blank["matrix"], blank["landmarks"]) == (0, None, None, None)
    assert (text["status"], text["bytes"], text["width"]) == ("not_image", 10, None)
    for row in (blank, text):
        assert len(row["sha256"]) == 64
        assert row["error"]


def test_a_picture_that_vanished_is_a_row(raw, tmp_path):
    images = list_images(raw)
    (raw / images[KEY][2]).unlink()
    faces = align_faces(images, FakeLandmarker(), tmp_path / "crops")
    assert faces["status"].to_list() == ["ok", "ok", "vanished", "ok", "ok"]
    assert faces["sha256"][2] is None


def test_the_caller_sets_the_limit_of_pixels(raw, tmp_path):
    assert set(align(raw, tmp_path / "crops", max_pixels=320 * 320 - 1)["status"]) == {"too_large"}


def test_an_animation_keeps_its_status(raw, tmp_path):
    frames = [Image.open(raw / f"face_00{i}.png") for i in range(2)]
    frames[0].save(raw / "moving.gif", save_all=True, append_images=frames[1:])
    row = align(raw, tmp_path / "crops").row(by_predicate=pl.col(KEY) == "moving.gif", named=True)
    assert row["status"] == "ok_first_frame"
    assert (tmp_path / "crops" / row["crop"]).is_file()


@pytest.mark.parametrize("policy", ["largest", "reject"])
def test_several_faces(tmp_path, policy):
    (tmp_path / "raw").mkdir()
    for n in range(4):
        picture = np.full((320, 320, 3), 50, dtype=np.uint8)
        picture[0, 0] = n
        Image.fromarray(picture).save(tmp_path / "raw" / f"{n}.png")
    faces = align(tmp_path / "raw", tmp_path / "crops", ManyFaces(), policy=policy)
    assert faces["n_faces"].to_list() == [0, 1, 2, 3]
    many = "ok" if policy == "largest" else "many_faces"
    assert faces["status"].to_list() == ["no_face", "ok", many, many]
    if policy == "largest":
        widths = faces["box"].arr.get(2) - faces["box"].arr.get(0)
        assert widths.drop_nulls().is_sorted()
        assert widths[3] > 1.2 * widths[1]
    else:
        assert "2 faces" in faces["error"][2]
        assert faces["crop"].to_list()[2:] == [None, None]
    # this model has no irises, no depth and no score
    row = faces.row(1, named=True)
    assert row["score"] is row["yaw"] is None
    landmarks = np.array(row["landmarks"])
    assert np.isnan(landmarks[468:]).all()
    assert not np.isnan(landmarks[:468]).any()
    assert row["eye_distance_px"] > 0


def test_of_equal_faces_the_leftmost_is_taken():
    from facestats.faces.align import _choose

    boxes = [(50.0, 0.0, 60.0, 10.0), (20.0, 0.0, 30.0, 10.0), (20.0, 5.0, 30.0, 15.0)]
    faces = [Face(None, None, box, 1.0, "x") for box in boxes]
    assert _choose(faces, "largest").box == boxes[1]
    assert _choose(faces[::-1], "largest").box == boxes[1]


def test_a_face_known_by_its_box_alone_is_aligned_without_landmarks(raw, tmp_path):
    faces = align(raw, tmp_path / "crops", BoxOnly())
    assert faces["status"].to_list() == ["ok"] * 5
    assert faces["matrix"].null_count() == faces["sharpness"].null_count() == 0
    for column in ("landmarks", "eye_distance_px", "yaw", "score"):
        assert faces[column].null_count() == 5
    crop = read(tmp_path / "crops" / faces["crop"][0])
    assert crop[256, 256].astype(int).sum() > 200  # skin


@pytest.mark.parametrize(
    ("how", "status", "words"),
    [("fails", "model_error", "RuntimeError: the graph failed"), ("memory", "decode_memory", "memory")],
)
def test_a_model_that_fails_costs_one_row(raw, tmp_path, how, status, words):
    Image.new("RGB", (320, 320), BLUE).save(raw / "blue.png")
    faces = align(raw, tmp_path / "crops", FailsOnBlue(how))
    assert faces["status"].to_list() == [status] + ["ok"] * 5
    assert words in faces["error"][0]


@pytest.mark.slow
def test_a_picture_that_kills_its_worker_costs_one_row(raw, tmp_path):
    Image.new("RGB", (320, 320), BLUE).save(raw / "face_002b.png")
    faces = align(raw, tmp_path / "crops", FailsOnBlue("dies"))
    assert faces.filter(pl.col("status") != "ok").select(KEY, "status").rows() == [
        ("face_002b.png", "decode_crash")
    ]
    assert faces.height == 6


def test_a_missing_model_stops_the_run(raw, tmp_path):
    Image.new("RGB", (320, 320), BLUE).save(raw / "blue.png")
    with pytest.raises(ModelError):
        align(raw, tmp_path / "crops", FailsOnBlue("missing"))


def test_a_folder_that_cannot_be_written_stops_the_run_and_says_so(raw, tmp_path):
    (raw / "deep").mkdir()
    (raw / "face_000.png").rename(raw / "deep/face_000.png")
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops/deep").write_text("in the way")
    with pytest.raises(OSError, match="deep") as caught:
        align(raw, tmp_path / "crops")
    assert "could not be written" in " ".join(getattr(caught.value, "__notes__", []))


def test_wrong_arguments_are_named(raw, tmp_path):
    with pytest.raises(ValueError, match="largest, reject"):
        align(raw, tmp_path, policy="first")
    with pytest.raises(TableError, match="list_images"):
        align_faces(pl.DataFrame({"file": ["a.jpg"]}), FakeLandmarker(), tmp_path)


def test_no_pictures_give_an_empty_table(raw, tmp_path):
    empty = align_faces(list_images(raw).clear(), FakeLandmarker(), tmp_path)
    assert empty.height == 0
    check_table(empty, FACES)


def test_an_aligned_crop_is_aligned(raw, tmp_path):
    """Landmarks that were carried to the crop give the identity as the matrix of the crop."""
    from facestats.pictures.geometry import align_matrix

    for row in align(raw, tmp_path / "crops").iter_rows(named=True):
        carried = transform_points(row["landmarks"], row["matrix"])
        np.testing.assert_allclose(align_matrix(carried, (0, 0, 1, 1), size=512), np.eye(3)[:2], atol=1e-3)


names = st.lists(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=90),
    min_size=1,
    max_size=4,
).map("/".join)


@given(
    st.sets(
        names | st.sampled_from(["a", "a.jpg", "a.jpg/b", "../x", "/etc/x", "a//b", "a/./b", "."]), max_size=8
    )
)
def test_crop_names_stay_below_the_folder_and_never_collide(ids):
    found = [crop_name(i, content) for i in sorted(ids) for content in (b"512", b"256")]
    assert len(set(found)) == len(found)
    for name in found:
        path = Path("/crops") / name
        assert Path(os.path.normpath(path)) == path
        assert path.is_relative_to("/crops")
        assert all(len(os.fsencode(part)) <= 255 for part in path.parts)
        # no crop is a folder of others
        assert not any(part.endswith(".jpg") for part in Path(name).parts[:-1])


def test_plain_names_stay_readable():
    name = crop_name("a b/顔.png", b"")
    assert name.startswith("a b/顔.png.")
    assert name == crop_name("a b/顔.png", b"")


@pytest.mark.parametrize("name", ["two words.png", "顔.png", "n" * 250 + ".png", "deep/er/a.jpg", "a\nb.png"])
def test_odd_names_get_their_crop(tmp_path, name):
    (tmp_path / "raw" / name).parent.mkdir(parents=True)
    draw_faces(tmp_path, n_faces=1)
    (tmp_path / "face_000.png").rename(tmp_path / "raw" / name)
    faces = align(tmp_path / "raw", tmp_path / "crops")
    assert faces[KEY].to_list() == [name]
    assert read(tmp_path / "crops" / faces["crop"][0]).shape == (512, 512, 3)


def build_faces(store, raw, size=64):
    images = list_images(raw)
    return store.build(
        "faces", images, align_faces, landmarker=FakeLandmarker(), crops_dir=store.crops_dir, size=size, workers=1,
        chunk_size=2, progress=False,
    )  # fmt: skip


def crops_on_disk(store):
    return sorted(str(p.relative_to(store.crops_dir)) for p in store.crops_dir.rglob("*.jpg"))


def test_the_crops_of_a_stored_table_stay_until_a_table_of_another_size_is_complete(tmp_path, monkeypatch):
    store = fs.Store(tmp_path / "data")
    draw_faces(tmp_path / "raw", n_faces=4)
    old = build_faces(store, tmp_path / "raw")
    with monkeypatch.context() as patch:
        patch.setattr("facestats.store.store.assemble", _killed)
        with pytest.raises(KeyboardInterrupt):
            build_faces(store, tmp_path / "raw", size=32)
    assert store.read("faces", fingerprint=True).equals(old)
    assert {read(store.crops_dir / name).shape for name in old["crop"]} == {(64, 64, 3)}
    # with the first size again, nothing of the interrupted run is left
    assert build_faces(store, tmp_path / "raw").equals(old)
    assert crops_on_disk(store) == sorted(old["crop"])
    new = build_faces(store, tmp_path / "raw", size=32)
    assert crops_on_disk(store) == sorted(new["crop"])
    assert {read(store.crops_dir / name).shape for name in new["crop"]} == {(32, 32, 3)}


def test_a_run_that_was_killed_before_it_swept_is_swept_by_the_next(tmp_path, monkeypatch):
    store = fs.Store(tmp_path / "data")
    draw_faces(tmp_path / "raw", n_faces=2)
    build_faces(store, tmp_path / "raw")
    (store.crops_dir / f".{'0' * 16}.123.tmp").write_bytes(b"half a crop of a killed worker")
    with monkeypatch.context() as patch:
        patch.setattr("facestats.store.store.sweep_crops", _killed)
        with pytest.raises(KeyboardInterrupt):
            build_faces(store, tmp_path / "raw", size=32)
    assert len(crops_on_disk(store)) == 4
    new = build_faces(store, tmp_path / "raw", size=32)
    assert crops_on_disk(store) == sorted(new["crop"])
    assert not list(store.crops_dir.glob(".*.tmp"))


def test_crops_stay_as_long_as_master_names_them_and_while_faces_are_made(tmp_path):
    store = fs.Store(tmp_path / "data")
    draw_faces(tmp_path / "raw", n_faces=2)
    faces = build_faces(store, tmp_path / "raw")
    build_master(store, faces)
    (tmp_path / "raw/face_000.png").unlink()
    left = build_faces(store, tmp_path / "raw")
    assert crops_on_disk(store) == sorted(faces["crop"])
    with TableFiles(store.tables_dir, "faces").lock():
        build_master(store, left)
    assert crops_on_disk(store) == sorted(faces["crop"])
    build_master(store, left)
    assert crops_on_disk(store) == sorted(left["crop"])


def build_master(store, faces):
    return store.build("master", faces, _keep_crops, chunk_size=None, progress=False)


def _keep_crops(faces):
    return faces.select(KEY, "status", "error", "crop")


def test_crops_outside_the_store_are_left_alone(tmp_path):
    store = fs.Store(tmp_path / "data")
    draw_faces(tmp_path / "raw", n_faces=2)
    elsewhere = tmp_path / "shared by several"
    for n in (2, 1):
        store.build(
            "faces", list_images(tmp_path / "raw").head(n), align_faces, landmarker=FakeLandmarker(),
            crops_dir=elsewhere, size=32, workers=1, progress=False,
        )  # fmt: skip
    assert len(list(elsewhere.glob("*.jpg"))) == 2


def _killed(*_, **__):
    raise KeyboardInterrupt


def test_the_crop_of_a_removed_picture_goes_and_those_that_stay_are_not_touched(tmp_path):
    store = fs.Store(tmp_path / "data")
    draw_faces(tmp_path / "raw/deep", n_faces=1)
    draw_faces(tmp_path / "raw", n_faces=3, seed=1)
    faces = build_faces(store, tmp_path / "raw")
    (store.crops_dir / "mine.jpg").write_bytes(b"not a crop of the table")
    os.utime(tmp_path / "raw/face_001.png")  # its new time makes it computed again, with the same crop
    (tmp_path / "raw/deep/face_000.png").unlink()
    left = build_faces(store, tmp_path / "raw")
    assert left["crop"].to_list() == [c for c in faces["crop"] if not c.startswith("deep/")]
    assert crops_on_disk(store) == sorted([*left["crop"], "mine.jpg"])
    assert not (store.crops_dir / "deep").exists()
