from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from PIL import Image

from facestats.core.progress import position, progress_bar
from facestats.core.tables import EMBEDDINGS, STATUS, TableError, check_table
from facestats.embeddings.embed import embed_faces


class ColorEncoder:
    """Encodes the mean colour of a picture; its pictures are 4 by 4."""

    input_side = 4
    name = "color"
    dim = 4
    logit_scale = 100.0

    def __init__(self):
        self.batches = []

    def __getstate__(self):
        return {}

    def prepare(self, image):
        return np.asarray(image.resize((4, 4), Image.Resampling.BOX))

    def encode_images(self, pixels):
        self.batches.append(len(pixels))
        colors = pixels.reshape(len(pixels), -1, 3).mean(axis=1) + 1
        vectors = np.pad(colors, ((0, 0), (0, 1)), constant_values=10).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def encode_texts(self, texts):
        return np.eye(4, dtype=np.float32)[[len(t) % 4 for t in texts]]


class DeadlyEncoder(ColorEncoder):
    """Takes its worker process down on pure red."""

    def prepare(self, image):
        if image.getpixel((0, 0)) == (255, 0, 0):
            os._exit(1)
        return super().prepare(image)


class NanEncoder(ColorEncoder):
    """Overflows on pure white."""

    def encode_images(self, pixels):
        vectors = super().encode_images(pixels)
        vectors[pixels.min(axis=(1, 2, 3)) == 255] = np.nan
        return vectors


def color(i):
    return (10 * i % 250, (70 + 30 * i) % 250, 128)


def make_folder(tmp_path, n=7):
    raw, crops = tmp_path / "raw", tmp_path / "crops"
    rows = []
    for i in range(n):
        for folder, size in ((raw, (40, 30)), (crops, (32, 32))):
            folder.mkdir(exist_ok=True)
            Image.new("RGB", size, color(i)).save(folder / f"p{i}.png")
        rows.append((f"p{i}.png", "ok", None, f"p{i}.png"))
    schema = {"image_id": pl.String, "status": STATUS, "error": pl.String, "crop": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row"), raw, crops


def expected(rgb):
    return ColorEncoder().encode_images(np.full((1, 4, 4, 3), rgb, dtype=np.uint8))[0]


def test_one_row_per_row_in_order_with_both_views(tmp_path):
    faces, raw, crops = make_folder(tmp_path)
    faces = faces.reverse()
    table = embed_faces(faces, ColorEncoder(), crops, raw_dir=raw, batch_size=3, workers=1)
    check_table(table, EMBEDDINGS)
    assert table["image_id"].equals(faces["image_id"])
    assert table.schema["embedding"] == pl.Array(pl.Float32, 4)
    assert table.schema["embedding_full"] == pl.Array(pl.Float32, 4)
    for column in ("embedding", "embedding_full"):
        want = np.stack([expected(color(i)) for i in reversed(range(7))])
        assert np.abs(table[column].to_numpy() - want).max() < 1e-6


def test_without_pictures_the_full_view_is_null(tmp_path):
    faces, _, crops = make_folder(tmp_path, 2)
    table = embed_faces(faces, ColorEncoder(), crops, workers=1)
    assert table["embedding_full"].null_count() == 2
    assert table["embedding"].null_count() == 0


def test_vectors_are_null_exactly_where_there_is_nothing_to_encode(tmp_path):
    faces, raw, crops = make_folder(tmp_path, 4)
    faces = faces.with_columns(
        status=pl.Series(["ok", "no_face", "corrupt", "many_faces"], dtype=STATUS),
        error=pl.Series([None, "no face found", "broken", "3 faces"]),
        crop=pl.Series(["p0.png", None, None, None], dtype=pl.String),
    )
    table = embed_faces(faces, ColorEncoder(), crops, raw_dir=raw, workers=1)
    assert table["embedding"].is_null().to_list() == [False, True, True, True]
    assert table["embedding_full"].is_null().to_list() == [False, False, True, False]
    assert table.select("status", "error").equals(faces.select("status", "error"))


def test_a_file_that_is_gone_or_broken_is_named_and_costs_only_its_own_vector(tmp_path):
    faces, raw, crops = make_folder(tmp_path, 4)
    (crops / "p1.png").unlink()
    (raw / "p2.png").write_bytes(b"<html>")
    table = embed_faces(faces, ColorEncoder(), crops, raw_dir=raw, workers=1)
    assert table["status"].to_list() == ["ok", "vanished", "not_image", "ok"]
    assert table["embedding"].is_null().to_list() == [False, True, False, False]
    assert table["embedding_full"].is_null().to_list() == [False, False, True, False]
    assert "crop p1.png" in table["error"][1]
    assert "picture p2.png" in table["error"][2]


def test_a_picture_that_kills_its_worker_is_a_row(tmp_path):
    faces, _, crops = make_folder(tmp_path, 3)
    Image.new("RGB", (32, 32), (255, 0, 0)).save(crops / "p1.png")
    table = embed_faces(faces, DeadlyEncoder(), crops, workers=1)
    assert table["status"].to_list() == ["ok", "decode_crash", "ok"]
    assert table["embedding"].is_null().to_list() == [False, True, False]


def test_a_vector_that_is_not_finite_becomes_model_error(tmp_path):
    faces, _, crops = make_folder(tmp_path, 3)
    Image.new("RGB", (32, 32), (255, 255, 255)).save(crops / "p2.png")
    table = embed_faces(faces, NanEncoder(), crops, workers=1)
    assert table["status"].to_list() == ["ok", "ok", "model_error"]
    assert table["embedding"].is_null().to_list() == [False, False, True]


@pytest.mark.parametrize("workers", [1, 2])
def test_batches_do_not_depend_on_the_workers(tmp_path, workers):
    faces, raw, crops = make_folder(tmp_path, 11)
    encoder = ColorEncoder()
    embed_faces(faces, encoder, crops, raw_dir=raw, batch_size=5, workers=workers)
    assert sorted(encoder.batches) == sorted([5, 5, 5, 5, 2])


def test_nested_and_odd_names_are_found(tmp_path):
    faces, raw, crops = make_folder(tmp_path, 1)
    name = os.fsdecode(b"sub dir/\xc3\xa9t\xff.png")
    for folder in (raw, crops):
        (folder / name).parent.mkdir()
        (folder / "p0.png").rename(folder / name)
    image_id = "sub dir/ét" + quote(b"\xff") + ".png"
    faces = faces.with_columns(image_id=pl.lit(image_id), crop=pl.lit(image_id))
    table = embed_faces(faces, ColorEncoder(), crops, raw_dir=raw, workers=1)
    assert table["status"].to_list() == ["ok"]
    assert table["embedding_full"].null_count() == 0


def test_no_rows_are_a_table_without_rows(tmp_path):
    faces, raw, crops = make_folder(tmp_path, 1)
    table = embed_faces(faces.clear(), ColorEncoder(), crops, raw_dir=raw)
    check_table(table, EMBEDDINGS)
    assert table.height == 0


def test_progress_counts_every_row_once(tmp_path):
    faces, raw, crops = make_folder(tmp_path, 5)
    faces = faces.with_columns(status=pl.Series(["ok", "ok", "empty", "no_face", "ok"], dtype=STATUS))
    faces = faces.with_columns(crop=pl.when(pl.col("status") == "ok").then("crop"))
    with progress_bar("embeddings", 5):
        embed_faces(faces, ColorEncoder(), crops, raw_dir=raw, batch_size=2, workers=1)
        done = position()
    assert done == 5


def test_missing_columns_are_named():
    with pytest.raises(TableError, match="crop"):
        embed_faces(
            pl.DataFrame({"image_id": ["a"], "status": ["ok"], "error": [None]}), ColorEncoder(), Path()
        )


def test_a_large_picture_that_stage_01_let_through_is_let_through_again(tmp_path):
    Image.new("RGB", (7200, 7000), (200, 10, 10)).save(tmp_path / "large.png", compress_level=1)
    Image.new("RGB", (7200, 7000), (200, 10, 10)).save(tmp_path / "unknown.png", compress_level=1)
    faces = pl.DataFrame(
        {
            "image_id": ["large.png", "unknown.png"],
            "status": ["no_face", "no_face"],
            "error": [None, None],
            "crop": [None, None],
            "width": [7200, None],
            "height": [7000, None],
        },
        schema_overrides={"error": pl.String, "crop": pl.String, "width": pl.Int32, "height": pl.Int32},
    )
    found = embed_faces(faces, ColorEncoder(), tmp_path / "crops", raw_dir=tmp_path, workers=1)
    assert found["status"].to_list() == ["no_face", "too_large"]
    assert found["embedding_full"].is_not_null().to_list() == [True, False]
