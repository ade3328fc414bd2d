from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import facestats as fs

if TYPE_CHECKING:
    import pytest


def test_stability_is_highest_for_the_true_number(embeddings: pl.DataFrame):
    table = fs.clusters.stability(embeddings, n_clusters=[2, 3, 4, 6], n_resamples=8, seed=0)
    assert table.filter("chosen")["n_clusters"].to_list() == [3]
    assert table.filter(pl.col("n_clusters") == 3)["ari"][0] > 0.98
    assert (table["ari_low"] <= table["ari"]).all()


def test_only_numbers_that_leave_two_faces_to_a_cluster_are_tried(
    embeddings: pl.DataFrame, capsys: pytest.CaptureFixture[str]
):
    table = fs.clusters.stability(embeddings.head(7), n_clusters=range(2, 11), n_resamples=5, seed=0)
    assert table["n_clusters"].to_list() == [2, 3]
    assert table["chosen"].sum() == 1
    assert "numbers above 3 are left out, since there are 7 faces" in capsys.readouterr().out
    none = fs.clusters.stability(embeddings.head(3), n_clusters=[2, 3], n_resamples=5, seed=0)
    assert none.is_empty()
    assert none.schema == table.schema


def test_noise_has_no_stable_clusters():
    noise = np.random.default_rng(0).normal(size=(200, 20)).astype(np.float32)
    table = pl.DataFrame({"image_id": [str(i) for i in range(200)], "embedding": noise})
    assert fs.clusters.stability(table, n_clusters=[5], n_resamples=6, seed=0)["ari"][0] < 0.4
