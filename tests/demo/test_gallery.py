"""The drawn gallery: known truth, the same bytes for the same seed, all the hard cases."""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image, UnidentifiedImageError

from facestats.demo.drawing.character import draw_character
from facestats.demo.gallery import plan_gallery, render, write_gallery
from facestats.demo.records import OPTIONS, is_held_out, sample_records
from facestats.demo.training.rendered_views import cut_face

ATTRIBUTES = Path(__file__).resolve().parents[2] / "config" / "attributes.yaml"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return write_gallery(tmp_path_factory.mktemp("gallery"), n=24, seed=11, workers=1)


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def rows_of(folder):
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_options_are_those_of_the_configuration():
    config = yaml.safe_load(ATTRIBUTES.read_text(encoding="utf-8"))
    assert {name: tuple(entry["options"]) for name, entry in config.items()} == OPTIONS


@pytest.mark.parametrize("style", ["train", "eval"])
def test_every_option_is_frequent(style):
    records = sample_records(600, seed=3, style=style)
    for name, options in OPTIONS.items():
        seen = Counter(record[name] for record in records if record[name] is not None)
        assert set(seen) == set(options)
        assert min(seen.values()) >= 600 / len(options) / 2


def test_bald_characters_have_no_hair_to_describe():
    for record in sample_records(300, seed=4):
        assert (
            (record["hair_length"] == "bald")
            == (record["hair_style"] is None)
            == (record["hair_color"] is None)
        )


def test_training_and_evaluation_share_no_combination():
    assert not any(map(is_held_out, sample_records(300, seed=5, style="train")))
    assert all(map(is_held_out, sample_records(300, seed=5, style="eval")))


def test_fewer_records_are_the_first_of_more():
    assert sample_records(10, seed=6) == sample_records(30, seed=6)[:10]


def test_unknown_style_is_refused():
    with pytest.raises(ValueError, match="style must be"):
        sample_records(1, seed=0, style="test")


@pytest.mark.slow
def test_same_seed_writes_the_same_bytes_with_any_number_of_workers(gallery, tmp_path):
    assert digest(write_gallery(tmp_path, n=24, seed=11, workers=2)) == digest(gallery)


def test_drawing_in_this_process_keeps_the_threads_of_opencv(tmp_path):
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    write_gallery(tmp_path, n=1, seed=1, workers=1)
    assert cv2.getNumThreads() == 3
    cv2.setNumThreads(before)


def test_another_seed_draws_other_pictures():
    first, second = (render(plan_gallery(1, seed=seed)[0])[0] for seed in (1, 2))
    assert first != second


def test_one_person_in_two_scenes_differs_in_pixels_but_not_in_hair_color():
    record = sample_records(1, seed=8)[0] | {
        "hair_length": "long",
        "hair_style": "straight",
        "hair_color": "colorful",
    }
    first, second = (np.asarray(draw_character(record, seed=5, scene_seed=s)[0], float) for s in (1, 2))
    assert np.abs(first - second).mean() > 5


def test_landmarks_lie_inside_the_picture_and_in_order():
    for k, record in enumerate(sample_records(12, seed=9)):
        image, marks = draw_character(record, seed=k)
        assert image.size == (512, 512)
        assert all(0 <= x < 512 and 0 <= y < 512 for x, y in marks.values())
        assert marks["left_pupil"][0] < marks["nose_tip"][0] < marks["right_pupil"][0]
        assert marks["left_pupil"][1] < marks["nose_tip"][1] < marks["mouth_centre"][1] < marks["chin"][1]
        assert 65 < np.hypot(*np.subtract(marks["right_pupil"], marks["left_pupil"])) < 100


def test_pupils_are_dark_where_the_landmarks_say():
    for k, record in enumerate(sample_records(6, seed=10)):
        image, marks = draw_character(record, seed=k)
        pixels = np.asarray(image, float).mean(2)
        for side in ("left_pupil", "right_pupil"):
            x, y = np.rint(marks[side]).astype(int)
            assert pixels[y - 3 : y + 4, x - 3 : x + 4].min() < 60


def test_gallery_holds_all_kinds_and_only_their_files(gallery):
    rows = rows_of(gallery)
    files = {path.name for path in gallery.iterdir()}
    assert files == {row["file_name"] for row in rows} | {"metadata.csv", "ratings.csv", "landmarks.parquet"}
    kinds = Counter(row["kind"] for row in rows)
    assert kinds == {"character": 24, "near_duplicate": 2, "two_faces": 2, "no_face": 3, "unreadable": 1}


def test_only_characters_have_truth_and_a_caption(gallery):
    for row in rows_of(gallery):
        known = row["kind"] == "character"
        assert bool(row["text"]) == bool(row["true_age"]) == bool(row["true_dress"]) == known
        for name, options in OPTIONS.items():
            assert row[f"true_{name}"] in {"", *options}
            assert row[f"said_{name}"] in {"", row[f"true_{name}"]}


def test_every_file_opens_but_the_unreadable_one(gallery):
    for row in rows_of(gallery):
        data = io.BytesIO((gallery / row["file_name"]).read_bytes())
        if row["kind"] == "unreadable":
            with pytest.raises(UnidentifiedImageError):
                Image.open(data)
        else:
            assert Image.open(data).size == (512, 512)


def test_near_duplicates_resemble_their_originals_only(gallery):
    copies = sorted(gallery.glob("copy_*.jpg"))
    for copy in copies:
        shrink = [
            np.asarray(Image.open(path).resize((16, 16)), float)
            for path in (copy, *sorted(gallery.glob("character_*.jpg")))
        ]
        far = [np.abs(shrink[0] - other).mean() for other in shrink[1:]]
        assert int(np.argmin(far)) == int(copy.stem[-5:])
        assert min(far) < 8


def test_ratings_are_of_characters_on_the_scale(gallery):
    ratings = pl.read_csv(gallery / "ratings.csv")
    assert ratings.columns == ["image_id", "rater_id", "rating"]
    assert ratings["image_id"].str.starts_with("character_").all()
    assert ratings["rating"].is_between(1, 7).all()


def test_landmark_table_covers_every_character(gallery):
    marks = pl.read_parquet(gallery / "landmarks.parquet")
    assert marks["image_id"].n_unique() == 24
    assert marks.group_by("image_id").len()["len"].unique().to_list() == [13]


def test_face_cut_puts_eyes_on_their_marks():
    record = sample_records(1, seed=12)[0]
    image, marks = draw_character(record, seed=1)
    cut = cut_face(np.asarray(image), marks)
    assert cut.shape == (512, 512, 3)
    for x in (198, 314):
        assert cut[236:262, x - 10 : x + 11].mean(2).min() < 70
