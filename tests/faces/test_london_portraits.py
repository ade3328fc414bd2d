"""Alignment of real photographs with hand-placed pupils, and of a folder with every kind of bad file."""

import os
import shutil
import struct
import zlib

import numpy as np
import polars as pl
import pytest
from PIL import Image

from facestats.core.tables import FACES, KEY, check_table
from facestats.faces.align import align_faces
from facestats.inputs.listing import list_images
from facestats.models.landmarks import FaceMesh
from facestats.pictures.geometry import IRISES, PUPILS, align_matrix, crop_face, transform_points
from tests.conftest import LONDON, needs_london, pupils

pytestmark = needs_london
SIZE = 512
TARGETS = np.array(PUPILS) * SIZE - 0.5  # of the irises; pixel centres are whole numbers


def align(folder, crops, **options):
    faces = align_faces(list_images(folder), FaceMesh(), crops, size=SIZE, **options)
    return check_table(faces, FACES)


def pupil_errors(faces):
    """Distance of the irises from the hand-placed pupils in interocular distances, (n, 2)."""
    errors = []
    for row in faces.iter_rows(named=True):
        true = np.array(pupils(row[KEY]))
        away = np.array(row["landmarks"])[list(IRISES)] - true
        errors.append(np.linalg.norm(away, axis=1) / np.linalg.norm(true[1] - true[0]))
    return np.array(errors)


def aligned_irises(faces):
    rows = zip(faces["landmarks"].to_numpy(), faces["matrix"].to_numpy(), strict=True)
    return np.array([transform_points(points[list(IRISES)], matrix) for points, matrix in rows])


def test_some_portraits_are_aligned_as_the_hand_placed_pupils_say(tmp_path):
    (tmp_path / "raw").mkdir()
    for path in sorted(LONDON.glob("*.jpg"))[::13]:
        shutil.copy(path, tmp_path / "raw")
    faces = align(tmp_path / "raw", tmp_path / "crops")
    assert faces["status"].to_list() == ["ok"] * 8
    assert pupil_errors(faces).mean() <= 0.012
    assert np.abs(aligned_irises(faces).mean(axis=0) - TARGETS).max() < 3
    for row in faces.iter_rows(named=True):
        crop = np.asarray(Image.open(tmp_path / "crops" / row["crop"])).astype(int)
        again = crop_face(np.asarray(Image.open(LONDON / row[KEY])), row["matrix"], SIZE)
        assert np.abs(crop - again).mean() < 2
        # chin and brow are inside the crop with room for hair above
        y = transform_points(np.array(row["landmarks"])[[10, 152]], row["matrix"])[:, 1]
        assert 0.2 * SIZE < y[0] < y[1] < 0.95 * SIZE


@pytest.mark.slow
def test_all_portraits_are_aligned_as_the_hand_placed_pupils_say(portraits):
    faces = check_table(portraits[1], FACES)
    assert faces["status"].value_counts().rows() == [("ok", 102)]
    assert faces["n_faces"].unique().to_list() == [1]
    errors = pupil_errors(faces)
    assert errors.mean() <= 0.0105
    assert errors.mean(axis=1).max() <= 0.026
    found = aligned_irises(faces)
    assert np.linalg.norm(found.mean(axis=0) - TARGETS, axis=1).max() < 0.3
    assert found.std(axis=0).max() < 3
    assert abs(faces["yaw"].mean()) < 2
    assert abs(faces["roll"].mean()) < 2
    assert abs(faces["pitch"].mean()) < 5
    assert faces["eye_distance_px"].is_between(150, 260).all()


def test_an_aligned_crop_stays_where_it_is():
    """Landmarks found in a crop move its pupils by little more than a pixel."""
    model = FaceMesh()
    picture = np.asarray(Image.open(LONDON / "001_03.jpg"))
    (face,) = model.find(picture)
    crop = crop_face(picture, align_matrix(face.points, face.box, size=SIZE), SIZE)
    (again,) = model.find(crop)
    moved = transform_points(TARGETS, align_matrix(again.points, again.box, size=SIZE))
    assert np.abs(moved - TARGETS).max() < 1.5


def hostile(folder):
    """Make a folder with every kind of bad file, and return the status that each file must get."""
    folder.mkdir()
    portrait = Image.open(LONDON / "001_03.jpg")
    small = portrait.resize((600, 600))
    (folder / "text.jpg").write_text("this is not a picture")
    (folder / "empty.jpg").touch()
    data = (LONDON / "002_03.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    exif = Image.Exif()
    exif[274] = 6
    small.transpose(Image.Transpose.ROTATE_90).save(folder / "phone.jpg", exif=exif)
    small.convert("CMYK").save(folder / "cmyk.jpg")
    grey = np.asarray(small.convert("L")).astype(np.uint16) * 257
    (folder / "deep.png").write_bytes(png16(grey))
    small.save(folder / "имя и 名前.jpg")
    small.save(folder / "a.jpg")
    Image.open(LONDON / "003_03.jpg").resize((500, 500)).save(folder / "a.png")
    Image.new("RGB", (640, 480), (90, 140, 60)).save(folder / "meadow.jpg")
    group = Image.new("RGB", (1500, 500))
    for i, name in enumerate(("001_03.jpg", "002_03.jpg", "003_03.jpg")):
        side = (420, 500, 460)[i]
        group.paste(Image.open(LONDON / name).resize((side, side)), (500 * i, 0))
    group.save(folder / "three.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    return dict.fromkeys(
        ("phone.jpg", "cmyk.jpg", "deep.png", "имя и 名前.jpg", "a.jpg", "a.png", "three.jpg"), "ok"
    ) | {
        "text.jpg": "not_image",
        "empty.jpg": "empty",
        "cut.jpg": "truncated",
        "meadow.jpg": "no_face",
        "pipe.jpg": "not_regular_file",
        "nowhere.jpg": "unreadable",
    }


def png16(grey):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in grey)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", grey.shape[1], grey.shape[0], 16, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def test_every_file_of_a_hostile_folder_is_a_row_with_the_right_status(tmp_path):
    expected = hostile(tmp_path / "raw")
    faces = align(tmp_path / "raw", tmp_path / "crops")
    assert dict(zip(faces[KEY], faces["status"], strict=True)) == expected
    rows = {row[KEY]: row for row in faces.iter_rows(named=True)}
    for row in rows.values():
        assert (row["error"] is None) == (row["status"] == "ok")
        assert (row["crop"] is not None) == (row["status"] == "ok")
    assert (rows["three.jpg"]["n_faces"], rows["a.jpg"]["n_faces"], rows["meadow.jpg"]["n_faces"]) == (
        3,
        1,
        0,
    )
    # the middle portrait of the three is the largest
    assert 500 < rows["three.jpg"]["box"][0] < 1000
    # the phone's picture is upright: same face, same place
    np.testing.assert_allclose(rows["phone.jpg"]["box"], rows["a.jpg"]["box"], atol=4)
    assert abs(rows["phone.jpg"]["roll"] - rows["a.jpg"]["roll"]) < 1
    # two files called a, two crops
    crops = [
        np.asarray(Image.open(tmp_path / "crops" / rows[name]["crop"])).astype(int)
        for name in ("a.jpg", "a.png")
    ]
    assert np.abs(crops[0] - crops[1]).mean() > 5
    # grey 16 bits look like the colour picture's luminance
    deep = np.asarray(Image.open(tmp_path / "crops" / rows["deep.png"]["crop"]).convert("L")).astype(int)
    assert np.abs(deep - np.asarray(Image.fromarray(crops[0].astype(np.uint8)).convert("L"))).mean() < 6


def test_policy_reject_gives_many_faces(tmp_path):
    hostile(tmp_path / "raw")
    images = list_images(tmp_path / "raw").filter(pl.col(KEY).is_in(["a.jpg", "three.jpg"]))
    faces = align_faces(images, FaceMesh(), tmp_path / "crops", policy="reject")
    assert faces["status"].to_list() == ["ok", "many_faces"]
