"""Saved models of ratings, applied to stored faces from the command line."""

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.core.config import Config, RatingsSettings
from facestats.core.protocols import ModelError
from facestats.surfaces.cli.rate import rate_stored

DIM = 8


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the models of two traits."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, DIM)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    vectors = pl.DataFrame({"image_id": [str(i) for i in range(40)], "embedding": x})
    folder = tmp_path_factory.mktemp("models")
    settings = RatingsSettings(columns=("embedding",), n_shape=0)
    for k, trait in enumerate(("calm", "kind")):
        rows = [
            (str(i), f"r{j}", trait, 4 + 5 * x[i, k] + rng.normal() / 4) for i in range(40) for j in range(4)
        ]
        ratings = pl.DataFrame(rows, schema=["image_id", "rater_id", "trait", "rating"], orient="row")
        given = {"encoder": "fake-clip@1", "trait": trait, "settings": settings}
        fs.fit_ratings(vectors, ratings, fs.models.ridge(), **given).model.save(folder / trait)
    return folder


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A project whose faces are embedded by the encoder of the models."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6, DIM)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    ids = [str(i) for i in range(6)]
    store = fs.Store(tmp_path)
    known = fs.testing.example_project()
    faces = known.faces.head(6).with_columns(image_id=pl.Series(ids))
    store.write("faces", faces)
    vectors = pl.Series(x, dtype=pl.Array(pl.Float32, DIM))
    known_columns = faces.select("image_id", "status", "error")
    store.write("embeddings", known_columns.with_columns(embedding=vectors, embedding_full=vectors))

    class Clip:
        name = "fake-clip@1"

    monkeypatch.setattr(fs.models, "clip", lambda _: Clip())
    return Config(data_dir=tmp_path, raw_dir=tmp_path / "raw", attributes=known.attributes)


def test_a_folder_of_models_rates_every_trait(config, trained):
    said = list(rate_stored(config, [trained]))
    table = fs.Store(config.data_dir).read("ratings")
    assert {"calm", "calm_ood", "kind", "kind_low"} <= set(table.columns)
    assert table["kind"].count() == 6
    assert said[0].startswith("calm: 6 faces rated by ratings:calm@")
    assert "are unlike all that it was trained on" in said[1]


def test_traits_that_are_not_named_again_are_told(config, trained):
    list(rate_stored(config, [trained / "calm"]))
    said = list(rate_stored(config, [trained / "kind"]))
    assert said[0] == "table ratings no longer holds calm; to keep them, name their models by --model too"
    assert "calm" not in fs.Store(config.data_dir).read("ratings").columns
    both = list(rate_stored(config, [trained / "kind", trained / "calm"]))
    assert len(both) == 2


def test_no_model_and_no_faces_are_sentences(config, trained, tmp_path):
    with pytest.raises(ModelError, match="there is no ratings model in"):
        list(rate_stored(config, [tmp_path]))
    empty = config.model_copy(update={"data_dir": tmp_path / "empty"})
    with pytest.raises(FileNotFoundError, match="are not embedded yet. To embed them, type: .*run.*--to 02"):
        list(rate_stored(empty, [trained]))
