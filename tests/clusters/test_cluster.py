from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats import cluster_faces, map_faces, project_umap
from facestats.core.tables import CLUSTERS, TableError

DATA = Path(os.environ.get("FACESTATS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
SIZES = (40, 25, 15)


def vectors(sizes: tuple[int, ...] = SIZES, *, dim: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(dim, len(sizes))))[0].T
    truth = np.repeat(np.arange(len(sizes)), sizes)
    x = centres[truth] + rng.normal(0, 0.08, (len(truth), dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), truth


@pytest.fixture(scope="module")
def embeddings() -> pl.DataFrame:
    x, truth = vectors()
    order = np.random.default_rng(1).permutation(len(x))
    frame = pl.DataFrame(
        {
            "image_id": [f"{i:03d}.jpg" for i in range(len(x))],
            "embedding": x[order],
            "truth": truth[order],
            "color": np.array(["red", "green", "blue"])[truth[order]],
            "coin": np.random.default_rng(2).choice(["heads", "tails"], len(x)),
        }
    )
    none = pl.DataFrame(
        {"image_id": ["none.jpg"], "embedding": [None], "truth": [None], "color": ["red"], "coin": ["heads"]},
        schema=frame.schema,
    )
    return pl.concat([frame.head(30), none, frame.tail(-30)])


def test_all_rows_come_back_in_order_and_null_stays_null(embeddings: pl.DataFrame):
    for table in (
        cluster_faces(embeddings, n_clusters=3, seed=0),
        cluster_faces(embeddings, method="hdbscan", seed=0),
        fs.clusters.project_pca(embeddings),
        fs.clusters.near_duplicates(embeddings, column="embedding"),
    ):
        assert table["image_id"].equals(embeddings["image_id"])
    clusters = cluster_faces(embeddings, n_clusters=3, seed=0)
    assert clusters.schema["cluster"] == pl.Int32
    assert clusters.filter(pl.col("cluster").is_null())["image_id"].to_list() == ["none.jpg"]


@pytest.mark.parametrize("method", ["kmeans", "hdbscan"])
def test_clusters_are_found_and_numbered_by_size(embeddings: pl.DataFrame, method: str):
    table = cluster_faces(embeddings, n_clusters=3, method=method, seed=0).drop_nulls()
    truth = table.join(embeddings, on="image_id")["truth"]
    found = table["cluster"] >= 0
    assert found.mean() > 0.8
    assert (table["cluster"].cast(pl.Int64) == truth).filter(found).mean() > 0.98  # truth is by size too
    sizes = table.filter(found)["cluster"].value_counts().sort("cluster")["count"].to_list()
    assert sizes == sorted(sizes, reverse=True)


def test_same_seed_same_clusters(embeddings: pl.DataFrame):
    assert cluster_faces(embeddings, n_clusters=5, seed=3).equals(
        cluster_faces(embeddings, n_clusters=5, seed=3)
    )


def test_order_of_rows_does_not_change_the_groups(embeddings: pl.DataFrame):
    a = cluster_faces(embeddings, n_clusters=3, seed=0)
    b = cluster_faces(embeddings.reverse(), n_clusters=3, seed=0).reverse()
    assert a.equals(b)


@pytest.mark.parametrize("n_clusters", [None, 0, 1, 81])
def test_impossible_numbers_name_the_valid_ones(embeddings: pl.DataFrame, n_clusters: int | None):
    with pytest.raises(ValueError, match="n_clusters must be between 2 and 80"):
        cluster_faces(embeddings, n_clusters=n_clusters, seed=0)


def test_wrong_calls_say_what_to_do(embeddings: pl.DataFrame):
    with pytest.raises(ValueError, match="'kmeans' or 'hdbscan', got 'dbscan'"):
        cluster_faces(embeddings, n_clusters=3, method="dbscan", seed=0)
    with pytest.raises(TableError, match="embedding_full"):
        cluster_faces(embeddings, n_clusters=3, column="embedding_full", seed=0)
    with pytest.raises(ValueError, match="2 of 2 rows have embedding; 3 or more"):
        fs.clusters.project_pca(embeddings.head(2))
    with pytest.raises(ValueError, match="min_cluster_size must be between 2 and 80"):
        cluster_faces(embeddings, method="hdbscan", min_cluster_size=500, seed=0)


def test_as_many_clusters_as_faces(embeddings: pl.DataFrame):
    table = cluster_faces(embeddings.head(6), n_clusters=6, seed=0)
    assert sorted(table["cluster"]) == list(range(6))


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
    layout = project_umap(embeddings, seed=0, n_neighbors=10)
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


def test_map_faces_is_clusters_and_layout(embeddings: pl.DataFrame, capsys: pytest.CaptureFixture[str]):
    few = embeddings.head(8)
    table = map_faces(few, n_clusters=12, seed=0)
    assert "n_clusters lowered from 12 to 8" in capsys.readouterr().out
    layout = fs.clusters.project_pca(few)
    expected = cluster_faces(few, n_clusters=8, seed=0).join(layout, on="image_id")
    expected = expected.join(layout.rename({"x": "pca_x", "y": "pca_y"}), on="image_id")
    assert table.equals(expected)
    fs.tables.check_table(table, CLUSTERS)


def test_map_faces_finds_dense_groups_where_asked(
    embeddings: pl.DataFrame, capsys: pytest.CaptureFixture[str]
):
    few = embeddings.head(9)
    table = map_faces(few, n_clusters=12, method="hdbscan", seed=0)
    assert "min_cluster_size lowered from 10 to 9" in capsys.readouterr().out
    assert table["cluster"].equals(
        cluster_faces(few, method="hdbscan", min_cluster_size=9, seed=0)["cluster"]
    )
    three = map_faces(few, n_clusters=12, method="hdbscan", min_cluster_size=3, seed=0)
    assert "lowered" not in capsys.readouterr().out.replace("n_neighbors lowered", "")
    assert not three["cluster"].equals(table["cluster"])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_faces_give_every_row_and_no_cluster(
    embeddings: pl.DataFrame, capsys: pytest.CaptureFixture[str], n: int
):
    few = embeddings.with_columns(embedding=pl.when(pl.int_range(pl.len()) < n).then("embedding"))
    table = fs.tables.check_table(map_faces(few, n_clusters=12, seed=0), CLUSTERS)
    assert f"{n} faces are too few" in capsys.readouterr().out
    assert table["image_id"].equals(embeddings["image_id"])
    assert table.drop("image_id").null_count().row(0) == (few.height,) * 5
    assert fs.clusters.members(few, table).is_empty()
    assert fs.clusters.near_duplicates(few, column="embedding")["duplicate_of"].null_count() == few.height
    joined = few.join(table, on="image_id")
    profile = fs.clusters.profile(joined, ["color", "coin"])
    assert profile.is_empty()
    assert fs.clusters.names(profile).schema == {"cluster": pl.Int32, "cluster_name": pl.String}
    assert fs.clusters.relations(joined, ["color"], n_permutations=5, seed=0)["ami"].to_list() == [None]


def test_equal_vectors_do_no_harm():
    same = pl.DataFrame({"image_id": ["a", "b", "c", "d"], "embedding": np.ones((4, 8), dtype=np.float32)})
    assert fs.clusters.project_pca(same).select("x", "y").to_numpy().tolist() == [[0, 0]] * 4


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


def test_members_run_from_exemplar_to_outlier(embeddings: pl.DataFrame):
    clusters = cluster_faces(embeddings, n_clusters=3, seed=0)
    members = fs.clusters.members(embeddings, clusters)
    assert members.height == 80
    for part in members.partition_by("cluster"):
        assert part["rank"].to_list() == list(range(part.height))
        assert part["distance"].is_sorted()
        assert part["outlier"].sum() < 0.2 * part.height
    x = embeddings.drop_nulls("embedding")["embedding"].to_numpy()
    odd = embeddings.drop_nulls("embedding").with_columns(
        embedding=pl.Series(np.vstack([x[:-1], -x[-1:]]), dtype=embeddings.schema["embedding"])
    )
    last = fs.clusters.members(odd, clusters).filter(image_id=odd["image_id"][-1])
    assert last["outlier"].item()


def test_profile_names_what_a_cluster_is(embeddings: pl.DataFrame):
    table = embeddings.join(cluster_faces(embeddings, n_clusters=3, seed=0), on="image_id")
    profile = fs.clusters.profile(table, ["color", "coin"])
    assert profile.filter(attribute="color").height == 9
    red = profile.filter(cluster=0, label="red")
    assert red.select("n", "n_cluster", "share", "share_elsewhere").row(0) == (40, 40, 1.0, 0.0)
    assert red["ratio_low"][0] > 1
    assert red["p_adjusted"][0] < 1e-6
    assert (profile.filter(attribute="coin")["p_adjusted"] > 0.05).all()
    assert (profile["p_adjusted"] >= profile["p"]).all()
    names = fs.clusters.names(profile)
    assert names["cluster_name"].to_list() == ["red", "green", "blue"]
    assert names.schema["cluster"] == pl.Int32
    assert fs.clusters.names(profile.filter(attribute="coin"))["cluster_name"].to_list() == ["mixed"] * 3


def test_profile_of_counts_is_the_textbook_ratio():
    table = pl.DataFrame(
        {"cluster": [0] * 1000 + [1] * 1000, "hat": ["y"] * 400 + ["n"] * 600 + ["y"] * 200 + ["n"] * 800}
    )
    row = fs.clusters.profile(table, ["hat"]).filter(cluster=0, label="y").row(0, named=True)
    assert row["ratio"] == pytest.approx(2, rel=0.01)
    error = np.sqrt(1 / 400 - 1 / 1000 + 1 / 200 - 1 / 1000)
    assert row["ratio_low"] == pytest.approx(2 * np.exp(-1.96 * error), rel=0.01)
    assert row["ratio_high"] == pytest.approx(2 * np.exp(1.96 * error), rel=0.01)


def test_clusters_follow_what_they_follow_and_not_chance(embeddings: pl.DataFrame):
    table = embeddings.join(cluster_faces(embeddings, n_clusters=3, seed=0), on="image_id").with_columns(
        age=pl.when(pl.col("truth") == 0).then(20).otherwise(60) + pl.int_range(pl.len()) % 15
    )
    related = fs.clusters.relations(table, ["coin", "color", "age"], n_permutations=99, seed=0)
    assert related["column"].to_list() == ["color", "age", "coin"]
    by = {row["column"]: row for row in related.iter_rows(named=True)}
    assert by["color"]["ami"] == pytest.approx(1)
    assert by["color"]["p"] == pytest.approx(0.01)
    assert by["age"]["ami"] > 0.3
    assert by["coin"]["p"] > 0.05
    assert related["chance_mean"].abs().max() < 0.03


def test_what_has_no_two_values_is_followed_by_nothing_and_comes_last(embeddings: pl.DataFrame):
    table = embeddings.join(cluster_faces(embeddings, n_clusters=3, seed=0), on="image_id").with_columns(
        empty=pl.lit(None, dtype=pl.String),
        same=pl.lit("yes"),
        one=pl.when(pl.int_range(pl.len()) == 0).then(1),
    )
    related = fs.clusters.relations(
        table, ["empty", "same", "one", "coin", "color"], n_permutations=9, seed=0
    )
    assert related["column"].to_list() == ["color", "coin", "empty", "same", "one"]
    assert related["n"].to_list()[2:] == [0, 80, 1]
    assert related.tail(3).select("ami", "chance_mean", "chance_high", "p").null_count().row(0) == (3,) * 4
    together = table.with_columns(cluster=pl.lit(0))
    assert fs.clusters.relations(together, ["color"], n_permutations=9, seed=0)["ami"].to_list() == [None]


def test_near_duplicates_point_to_the_first_of_their_group(embeddings: pl.DataFrame):
    x = embeddings.drop_nulls("embedding").head(5)
    again = x.with_columns(image_id="copy_" + pl.col("image_id"))
    table = fs.clusters.near_duplicates(pl.concat([x, again]), column="embedding", min_cosine=0.9999)
    assert table["duplicate_of"].to_list() == [None] * 5 + x["image_id"].to_list()


def test_above_a_limit_near_duplicates_are_not_looked_for_and_it_is_said(
    embeddings: pl.DataFrame, capsys: pytest.CaptureFixture[str]
):
    twice = pl.concat([embeddings, embeddings.with_columns(image_id="copy_" + pl.col("image_id"))])
    assert (
        fs.clusters.near_duplicates(twice, column="embedding", max_rows=159)["duplicate_of"].null_count()
        == 162
    )
    assert "160 pictures are more than max_rows=159" in capsys.readouterr().out
    for limit in (160, None):
        found = fs.clusters.near_duplicates(twice, column="embedding", max_rows=limit)
        assert 162 - found["duplicate_of"].null_count() >= 80
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_clusters_of_drawn_faces_follow_what_was_drawn(held_out: tuple[fs.Config, Path, pl.DataFrame]):
    cfg, folder, _ = held_out
    raw, vectors = folder / "raw", fs.Store(folder).read("embeddings")
    repeats = fs.clusters.near_duplicates(vectors).drop_nulls()
    assert set(repeats["image_id"]) == {p.name for p in raw.glob("copy_*")}
    truth = fs.human_labels.read_truth(raw, cfg.attributes)
    clusters = cluster_faces(vectors, n_clusters=cfg.clusters.n_clusters, seed=cfg.seed)
    table = clusters.join(truth, on="image_id").join(repeats, on="image_id", how="anti")
    related = fs.clusters.relations(table, truth.columns[1:], n_permutations=50, seed=0)
    assert (related["ami"] >= 0.3).sum() >= 2, related
    assert related["chance_mean"].abs().max() < 0.02
    assert related["chance_high"].max() < 0.08


@pytest.mark.skipif(not (DATA / "clip_sfhq").exists(), reason=f"no real vectors in {DATA}")
def test_real_vectors_follow_gender():
    table = pl.read_parquet(DATA / "clip_sfhq" / "embeddings.parquet")
    table = table.join(cluster_faces(table, n_clusters=8, seed=0), on="image_id")
    related = fs.clusters.relations(table, ["gender", "ethnicity"], n_permutations=20, seed=0)
    assert related["column"][0] == "gender"
    assert related["ami"][0] > 0.2
    assert related["chance_high"].max() < 0.05
    stability = fs.clusters.stability(table, n_clusters=[8], n_resamples=10, seed=0)["ari"][0]
    # the same numbers, each dimension dealt out anew, have no such groups
    noise = table["embedding"].to_numpy().copy()
    np.random.default_rng(0).permuted(noise, axis=0, out=noise)
    shuffled = table.with_columns(embedding=pl.Series(noise, dtype=table.schema["embedding"]))
    by_chance = fs.clusters.stability(shuffled, n_clusters=[8], n_resamples=10, seed=0)["ari"][0]
    assert stability > 0.4 > by_chance + 0.05


def test_names_say_of_which_part_a_label_speaks():
    rows = {"cluster": [0] * 40 + [1] * 40, "eye_color": ["blue"] * 40 + ["brown"] * 40}
    profile = fs.clusters.profile(pl.DataFrame(rows), ["eye_color"])
    assert fs.clusters.names(profile)["cluster_name"].to_list() == ["blue eye", "brown eye"]
