from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

import facestats as fs
from facestats import cluster_faces, map_faces
from facestats.core.tables import CLUSTERS, TableError
from tests.conftest import DATA

if TYPE_CHECKING:
    from pathlib import Path


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
    with pytest.raises(ValueError, match="min_cluster_size must be between 2 and 80"):
        cluster_faces(embeddings, method="hdbscan", min_cluster_size=500, seed=0)


def test_as_many_clusters_as_faces(embeddings: pl.DataFrame):
    table = cluster_faces(embeddings.head(6), n_clusters=6, seed=0)
    assert sorted(table["cluster"]) == list(range(6))


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
    assert f"{n} face{' is' if n == 1 else 's are'} too few" in capsys.readouterr().out
    assert table["image_id"].equals(embeddings["image_id"])
    assert table.drop("image_id").null_count().row(0) == (few.height,) * 5
    assert fs.clusters.members(few, table).is_empty()
    assert fs.clusters.near_duplicates(few, column="embedding")["duplicate_of"].null_count() == few.height
    joined = few.join(table, on="image_id")
    profile = fs.clusters.profile(joined, ["color", "coin"])
    assert profile.is_empty()
    assert fs.clusters.names(profile).schema == {"cluster": pl.Int32, "cluster_name": pl.String}
    assert fs.clusters.relations(joined, ["color"], n_permutations=5, seed=0)["ami"].to_list() == [None]


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
    assert (related["ami"] >= 0.2).sum() >= 3, related
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


def test_clustering_leaves_threads_numpy_and_warnings_as_they_were(embeddings: pl.DataFrame):
    def look() -> tuple:
        threads = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
        return threads, np.geterr(), list(warnings.filters)

    def run() -> None:
        cluster_faces(embeddings, n_clusters=3)
        cluster_faces(embeddings, method="hdbscan")
        fs.clusters.stability(embeddings, n_clusters=[3], n_resamples=2)

    run()  # imports
    before = look()
    run()
    assert look() == before


def test_the_default_number_of_clusters_follows_the_faces(embeddings: pl.DataFrame):
    def count(table: pl.DataFrame, **given: int) -> int:
        return map_faces(table, seed=0, **given)["cluster"].drop_nulls().n_unique()

    assert count(embeddings) == 5  # 80 faces
    assert count(embeddings, min_faces=20) == 2
    assert count(embeddings.head(12)) == 2


def test_a_repeated_picture_has_the_cluster_of_its_twin(embeddings: pl.DataFrame):
    # the face is another one, as after a second look at the same picture; the whole picture is the same
    faces = embeddings.drop_nulls("embedding")
    table = faces.with_columns(embedding_full=faces["embedding"])
    far = table.head(40).with_columns(
        image_id="again-" + pl.col("image_id"), embedding=table.tail(40)["embedding"]
    )
    both = pl.concat([table, far])
    found = map_faces(both, n_clusters=3, seed=0)
    clusters = dict(found.select("image_id", "cluster").iter_rows())
    assert all(clusters[f"again-{name}"] == clusters[name] for name in table.head(40)["image_id"])


@pytest.mark.parametrize("n_different", [1, 2, 3])
def test_one_picture_many_times_is_no_group(embeddings: pl.DataFrame, n_different: int):
    rows = pl.concat([embeddings.head(n_different)] * 12).with_columns(
        image_id=pl.format("{}.jpg", pl.int_range(12 * n_different))
    )
    table = fs.tables.check_table(map_faces(rows, seed=0), CLUSTERS)
    assert table.height == 12 * n_different
    assert (table["cluster"].count() == 0) == (n_different < 3)


@st.composite
def bursts(draw):
    """Vectors of pictures and of nearly the same pictures; in some of them no face was found."""
    of = draw(st.lists(st.integers(0, 4), min_size=1, max_size=9))  # fewer than UMAP needs
    faces = draw(st.lists(st.booleans(), min_size=len(of), max_size=len(of)))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    whole = np.eye(8)[of] + 0.01 * rng.normal(size=(len(of), 8))
    face = rng.normal(size=(len(of), 8))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (whole, face)]
    full, face = (pl.Series(v.astype(np.float32), dtype=pl.Array(pl.Float32, 8)) for v in unit)
    table = pl.DataFrame({"image_id": [f"{i}.jpg" for i in range(len(of))], "embedding": face})
    return table.with_columns(
        embedding=pl.when(pl.Series(faces)).then("embedding"), embedding_full=full
    ).with_columns(of=pl.Series(of))


@given(bursts())
@settings(max_examples=40)
def test_every_frame_of_a_burst_has_one_cluster_and_each_burst_counts_once(rows: pl.DataFrame):
    vectors = rows.drop("of")
    twins = fs.clusters.near_duplicates(vectors)
    once = rows.join(twins.drop_nulls(), on="image_id", how="anti")
    with_face = rows.drop_nulls("embedding")
    assert once.height == rows["of"].n_unique()
    assert set(once.drop_nulls("embedding")["of"]) == set(with_face["of"])  # a face stands for the others
    clusters = map_faces(vectors, seed=0).select("image_id", "cluster").join(rows, on="image_id")
    found = clusters.drop_nulls("embedding")
    if found["of"].n_unique() < 3:
        assert clusters["cluster"].count() == 0
        return
    assert found["cluster"].null_count() == 0
    assert (
        found.group_by("of").agg(pl.col("cluster").n_unique())["cluster"].to_list()
        == [1] * found["of"].n_unique()
    )
    sizes = found["cluster"].value_counts().sort("cluster")
    assert sizes["cluster"].to_list() == list(range(sizes.height))  # numbered by size, from 0
    assert sizes["count"].is_sorted(descending=True)
