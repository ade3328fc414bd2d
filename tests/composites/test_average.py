from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats import average_faces
from facestats.composites.warp import LEFT, MIDLINE
from facestats.store.store import Store
from tests.conftest import LONDON, needs_london

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("method", ["mean", "warp"])
def test_average_of_one_face_is_that_face(faces: pl.DataFrame, crops: Path, method: str):
    one = average_faces(faces[3], crops, method=method, min_faces=1)
    assert np.array_equal(one.pixels, np.asarray(Image.open(crops / "3.png")))
    assert one.sd.max() == 0


def test_mean_is_the_mean_of_the_pixels(faces: pl.DataFrame, crops: Path):
    stack = np.stack([np.asarray(Image.open(crops / c)) for c in faces["crop"]]).astype(float)
    mean = average_faces(faces, crops)
    assert np.abs(mean.pixels - stack.mean(axis=0)).max() <= 0.5
    assert np.allclose(mean.sd, np.sqrt(stack.var(axis=0).mean(axis=-1)), atol=1e-3)


def test_warped_mean_is_sharp_where_the_mean_blurs(faces: pl.DataFrame, crops: Path):
    mean, warped = (average_faces(faces, crops, method=m) for m in ("mean", "warp"))
    assert fs.composites.sharpness_ratio(warped, mean) > 3
    x, y = warped.shape[[*MIDLINE, *LEFT].index(1)].round().astype(int)
    assert warped.pixels[y, x, 0] < mean.pixels[y, x, 0] - 20


def test_order_of_faces_changes_no_pixel(faces: pl.DataFrame, crops: Path):
    a, b = (average_faces(f, crops, method="warp") for f in (faces, faces[list(range(19, -1, -1))]))
    assert np.abs(a.pixels.astype(int) - b.pixels).max() <= 1  # the mean shape is a sum of floats


def test_weights_weigh(faces: pl.DataFrame, crops: Path):
    weighed = faces.head(2).with_columns(w=pl.Series([3.0, 1.0]))
    repeated = pl.concat([faces[[0]]] * 3 + [faces[[1]]])
    a = average_faces(weighed, crops, min_faces=2, weights="w")
    b = average_faces(repeated, crops, min_faces=2)
    assert np.array_equal(a.pixels, b.pixels)
    assert a.weights == (0.75, 0.25)


@pytest.mark.parametrize("bad", [[-1.0, 2.0], [0.0, 0.0], [None, 1.0], [float("nan"), 1.0]])
def test_bad_weights_are_refused(faces: pl.DataFrame, crops: Path, bad: list):
    rows = faces.head(2).with_columns(w=pl.Series(bad, dtype=pl.Float64))
    with pytest.raises(ValueError, match="weights must be finite"):
        average_faces(rows, crops, min_faces=2, weights="w")


def test_too_few_faces_is_an_error_that_counts_what_is_missing(faces: pl.DataFrame, crops: Path):
    gaps = faces.with_columns(
        crop=pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise("crop"),
        landmarks=pl.when(pl.int_range(pl.len()) >= 7).then(None).otherwise("landmarks"),
    )
    with pytest.raises(
        ValueError, match=r"2 faces.*min_faces is 8.*20 rows.*5 without crop.*13 without landmarks"
    ):
        average_faces(gaps, crops, method="warp")


def test_faces_without_crop_are_left_out_and_counted(faces: pl.DataFrame, crops: Path):
    gaps = faces.with_columns(crop=pl.when(pl.int_range(pl.len()) < 5).then(None).otherwise("crop"))
    mean = average_faces(gaps, crops)
    assert mean.n == 15
    assert mean.settings["excluded"] == {"without crop": 5}
    assert set(mean.members).isdisjoint(faces["image_id"].head(5))


def test_filters_are_strict_and_name_the_count_of_each_condition(faces: pl.DataFrame, crops: Path):
    with pytest.raises(
        ValueError, match=r"3 rows.*8 are needed[^$]*gender = female: 10 of 20[^$]*age <= 25: 6 of 20"
    ):
        average_faces(faces, crops, where={"gender": "female", "age": (None, 25)})


def test_only_what_may_be_relaxed_is_and_it_is_written_down(faces: pl.DataFrame, crops: Path):
    mean = average_faces(faces, crops, where={"gender": "female", "age": (20, 25)}, relax=["age"])
    assert mean.n == 10
    assert mean.settings["where"] == "gender = female"
    assert "relaxed: 20 <= age <= 25" in mean.caption
    kept = average_faces(faces, crops, where={"gender": "female", "age": (20, 39)}, relax=["age"])
    assert kept.settings["relaxed"] == []


def test_errors_name_the_crop(faces: pl.DataFrame, crops: Path, tmp_path: Path):
    with pytest.raises(ValueError, match=r"0\.png.*does not exist"):
        average_faces(faces, tmp_path)
    Image.new("RGB", (50, 50)).save(crops / "small.png")
    rows = faces.with_columns(
        crop=pl.when(pl.int_range(pl.len()) == 4).then(pl.lit("small.png")).otherwise("crop")
    )
    with pytest.raises(ValueError, match=r"small\.png is 50x50 pixels, but the first crop is 96x96"):
        average_faces(rows, crops)
    with pytest.raises(ValueError, match="method must be one of"):
        average_faces(faces, crops, method="median")


def test_morph_goes_from_one_to_the_other(faces: pl.DataFrame, crops: Path):
    women, men = (average_faces(faces, crops, method="warp", where={"gender": g}) for g in ("female", "male"))
    assert np.array_equal(fs.composites.morph(women, men, share=0).pixels, women.pixels)
    assert np.array_equal(fs.composites.morph(women, men, share=1).pixels, men.pixels)
    half = fs.composites.morph(women, men)
    assert half.n == 20
    assert sum(half.weights) == pytest.approx(1)
    assert np.allclose(half.shape, (women.shape + men.shape) / 2)
    light = [c.pixels.mean() for c in (women, half, men)]
    assert light == sorted(light, reverse=True)


def test_mirrored_average_is_symmetric(faces: pl.DataFrame, crops: Path):
    face = fs.composites.mirror(average_faces(faces[2], crops, method="warp", min_faces=1))
    assert np.array_equal(face.pixels, face.pixels[:, ::-1])
    assert face.method == "symmetric"


def test_without_landmarks_there_is_no_morph(faces: pl.DataFrame, crops: Path):
    mean = average_faces(faces.drop("landmarks"), crops)
    with pytest.raises(ValueError, match="no landmarks"):
        fs.composites.morph(mean, mean)


@needs_london
@pytest.mark.slow
def test_london_women_are_sharp(portraits: tuple[Path, pl.DataFrame]):
    with (LONDON / "info.csv").open(newline="") as file:
        women = sorted(row["face_id"] for row in csv.DictReader(file) if row["face_gender"] == "female")[:20]
    folder, everyone = portraits
    faces = everyone.filter(pl.col("image_id").is_in([f"{face}_03.jpg" for face in women]))
    crops = Store(folder).crops_dir
    mean, warped = (average_faces(faces, crops, method=m) for m in ("mean", "warp"))
    assert mean.n == warped.n == 20
    assert fs.composites.sharpness_ratio(warped, mean) > 1.4
