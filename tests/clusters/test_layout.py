from __future__ import annotations

import sys

import numba
import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats import project_umap


def test_pca_keeps_distances_in_the_plane():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(40, 2)).astype(np.float32) * [3, 1]
    basis = np.linalg.qr(rng.normal(size=(16, 2)))[0]
    table = pl.DataFrame(
        {"image_id": [str(i) for i in range(40)], "embedding": (flat @ basis.T).astype(np.float32)}
    )
    xy = fs.clusters.project_pca(table).select("x", "y").to_numpy()
    distances = [np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (flat, xy)]
    assert np.allclose(*distances, atol=1e-4)
    assert fs.clusters.project_pca(table).schema == {"image_id": pl.String, "x": pl.Float32, "y": pl.Float32}


@pytest.mark.slow  # compiles UMAP: half a minute the first time
def test_umap_keeps_neighbours_and_repeats_itself(
    embeddings: pl.DataFrame, capsys: pytest.CaptureFixture[str]
):
    assert project_umap(embeddings.head(12), seed=0)["x"].is_finite().all()
    assert "n_neighbors lowered from 15 to 11" in capsys.readouterr().out
    threads = numba.get_num_threads()
    layout = project_umap(embeddings, seed=0, n_neighbors=10)
    assert numba.get_num_threads() == threads
    assert layout["x"].null_count() == 1
    assert layout.equals(project_umap(embeddings, seed=0, n_neighbors=10))
    placed = layout.join(embeddings, on="image_id").drop_nulls("x")
    xy, truth = placed.select("x", "y").to_numpy(), placed["truth"].to_numpy()
    distance = np.linalg.norm(xy[:, None] - xy[None], axis=-1) + 1e9 * np.eye(len(xy))
    assert (truth[distance.argmin(axis=1)] == truth).mean() > 0.95
    compiled = sys.modules["umap.umap_"].smooth_knn_dist.stats
    assert compiled.cache_path, "what UMAP compiled is not kept for the next process"


def test_few_faces_are_laid_out_and_it_is_said(embeddings: pl.DataFrame, capsys: pytest.CaptureFixture[str]):
    assert project_umap(embeddings.head(3), seed=0).equals(fs.clusters.project_pca(embeddings.head(3)))
    assert "too few for UMAP" in capsys.readouterr().out


def test_equal_vectors_do_no_harm():
    same = pl.DataFrame({"image_id": ["a", "b", "c", "d"], "embedding": np.ones((4, 8), dtype=np.float32)})
    assert fs.clusters.project_pca(same).select("x", "y").to_numpy().tolist() == [[0, 0]] * 4


def test_two_faces_have_no_layout(embeddings: pl.DataFrame):
    with pytest.raises(ValueError, match="2 of 2 rows have embedding; 3 or more"):
        fs.clusters.project_pca(embeddings.head(2))
