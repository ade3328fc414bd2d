"""Simulated ratings, vectors that carry them, and a model fitted on both."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.core.config import RatingsSettings
from facestats.demo.raters import simulate_ratings
from facestats.demo.records import sample_records

PLAIN = RatingsSettings(n_shape=0, columns=("embedding",), n_folds=5)


def long(found):
    return pl.DataFrame(
        {
            "image_id": [f"{i:04d}.jpg" for i in found.item],
            "rater_id": [f"rater_{j:02d}" for j in found.rater],
            "rating": found.rating,
        }
    )


@pytest.fixture(scope="session")
def simulated():
    return simulate_ratings(sample_records(240, seed=1), seed=1, share=0.6)


@pytest.fixture(scope="session")
def ratings(simulated):
    return fs.ratings.read(long(simulated))


@pytest.fixture(scope="session")
def embeddings(simulated):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(240, 16))
    x[:, 0] += 3 * (simulated.score - simulated.score.mean())
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    ids = [f"{i:04d}.jpg" for i in range(240)]
    return pl.DataFrame({"image_id": ids, "embedding": pl.Series(x, dtype=pl.Array(pl.Float32, 16))})


@pytest.fixture(scope="session")
def fit(embeddings, ratings):
    return fs.fit_ratings(embeddings, ratings, fs.models.ridge(), encoder="clip@1 fp32", settings=PLAIN)


def values(table):
    return {row["measure"]: row for row in table.iter_rows(named=True)}
