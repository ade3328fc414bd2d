"""A store that was made before the stages were packages: everything in it is fresh, and nothing is computed again.

`before_packages.zip` holds the store, its pictures, and `made_by.py`, the script that made it at revision 3d67bf5.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.store.fingerprint import describe_stage, describe_write
from facestats.store.status import Expected
from facestats.testing import FakeEncoder, FakeLandmarker, FakeTextClassifier

ROOT = Path(__file__).parents[2]
ZIP = Path(__file__).with_name("before_packages.zip")
# stages whose results have changed since: LiteRT finds the faces, and a near-duplicate has the cluster of its twin
LATER = {"faces": "version: 2 -> 3", "clusters": "version: 3 -> 5"}


class Shade:
    """A classifier by lightness."""

    name, options, prefix, batch_size = "shade@1", ("child", "teen"), "shade", 2

    def classify(self, images):
        level = np.array([np.asarray(i).mean() / 255 for i in images])
        return np.stack([level, 1 - level], axis=1).astype(np.float32)


@pytest.fixture
def earlier(tmp_path):
    shutil.unpack_archive(ZIP, tmp_path)
    for picture in (tmp_path / "raw").iterdir():
        os.utime(picture, ns=(1_700_000_000 * 10**9,) * 2)
    return fs.Store(tmp_path)


def calls(store):
    """How each table is made: rows, function, and settings."""
    raw, encoder = store.data_dir / "raw", FakeEncoder()
    every = fs.load_config(ROOT / "config/demo.yaml").attributes
    attributes = {name: every[name] for name in ("age", "hair_color")}
    captions = fs.list_captions(raw)
    texts = {"threshold": 0.5, "ask_first": False, "lexicon": False}
    crop = {"size": 64, "policy": "largest", "max_pixels": 1_000_000}
    clusters = {"method": "kmeans", "n_clusters": 2, "min_cluster_size": 2, "n_neighbors": 3, "seed": 0}
    model = fs.ratings.load_model(store.data_dir / "models/attractiveness", encoder=encoder)
    crops = {"crops_dir": store.crops_dir}
    return {
        "faces": (fs.list_images(raw), fs.align_faces, {"landmarker": FakeLandmarker(), **crop, **crops}),
        "embeddings": (
            "faces",
            fs.embed_faces,
            {"encoder": encoder, "batch_size": 2, "raw_dir": raw, **crops},
        ),
        "attributes": (
            "embeddings",
            fs.label_attributes,
            {"encoder": encoder, "attributes": attributes, "probes": None},
        ),
        "classifications": (
            "faces",
            fs.attributes.classify_faces,
            {"classifiers": {"age": Shade()}, **crops},
        ),
        "text_labels": (
            captions,
            fs.label_texts,
            {"classifier": FakeTextClassifier(), "attributes": attributes, **texts},
        ),
        "text_embeddings": (captions, fs.text_labels.embed_texts, {"encoder": encoder}),
        "ratings": ("embeddings", fs.ratings.rate_faces, {"model": model}),
        "master": (
            "faces",
            fs.merge_master,
            {"human": None, "captions": captions}
            | {t: store.read(t) for t in ("attributes", "text_labels", "classifications", "ratings")},
        ),
        "clusters": ("embeddings", fs.map_faces, clusters),
    }


def test_every_table_of_an_earlier_layout_is_fresh(earlier):
    expected = {
        name: Expected(describe_stage(func, params), rows if isinstance(rows, pl.DataFrame) else None)
        for name, (rows, func, params) in calls(earlier).items()
    }
    expected["composites"] = Expected(
        describe_write(fs.composites.tabulate, {"by": "gender", "min_faces": 1, "seed": 0})
    )
    expected["audit"] = Expected(describe_write(fs.audit.accuracy, {"by": ("age",), "seed": 0}))
    status = earlier.status(expected)
    for name, why in LATER.items():
        assert status.filter(table=name)["why"].item().startswith(why)
    del expected["faces"]  # new faces make everything stale
    status = earlier.status(expected)
    # OpenCV 5 moves crops exactly
    assert status.filter(state="stale")["table"].to_list() == ["clusters", "composites", "audit"]
    assert status.filter(state="missing")["table"].to_list() == [
        "reliability",
        "rated_faces",
    ]  # earlier releases did not store it


def test_no_row_of_an_earlier_layout_is_computed_again(earlier, capsys):
    table_calls = calls(earlier)
    del table_calls["faces"]  # new faces would make everything anew
    for name, (rows, func, params) in table_calls.items():
        given = earlier.scan(rows) if isinstance(rows, str) else rows
        whole = name in {"master", "clusters"}
        given = given.collect() if whole else given
        earlier.build(name, given, func, chunk_size=None if whole else 1000, **params)
        said = capsys.readouterr().out
        assert f"{name}: 4 rows, unchanged" in said or LATER.get(name, "no later version") in said


def test_a_table_and_a_column_that_were_called_otherwise_are_read(earlier):
    assert not (earlier.tables_dir / "ratings.parquet").exists()
    assert earlier.read("ratings")["attractiveness"].len() == 4
    assert "p_adjusted" in earlier.read("audit").columns
    rows, func, params = calls(earlier)["ratings"]
    more = pl.concat(
        [earlier.read(rows), earlier.read(rows).with_columns(image_id=pl.lit("new-") + pl.col("image_id"))]
    )
    earlier.build("ratings", more, func, **params)
    assert {p.name for p in earlier.tables_dir.glob("*.parquet")} >= {"ratings.parquet"}
    assert not (earlier.tables_dir / "scores.parquet").exists()


def test_a_new_picture_joins_an_earlier_table_without_touching_its_rows(earlier, capsys):
    rows, func, params = calls(earlier)["attributes"]
    vectors = earlier.read(rows)
    before = earlier.read("attributes", fingerprint=True)
    after = earlier.build(
        "attributes",
        pl.concat([vectors, vectors.head(1).with_columns(image_id=pl.lit("new"))]),
        func,
        **params,
    )
    assert "1 of 5 rows computed (1 new)" in capsys.readouterr().out
    assert after.head(4).equals(before)


def test_a_later_version_of_a_stage_makes_an_earlier_table_stale(earlier, monkeypatch):
    monkeypatch.setattr("facestats.attributes.VERSION", 99)
    _, func, params = calls(earlier)["attributes"]
    status = earlier.status({"attributes": Expected(describe_stage(func, params))})
    assert status.row(by_predicate=pl.col("table") == "attributes", named=True)["why"] == "version: 1 -> 99"
