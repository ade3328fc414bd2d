from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_mutual_info_score

import facestats as fs
from facestats import cluster_faces
from facestats.clusters.profile import _measure_ami


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


def test_p_values_are_adjusted_over_the_whole_table_and_no_clusters_give_no_rows():
    coins = [i % 2 for i in range(8)]
    rows = pl.DataFrame({"cluster": [0] * 4 + [1] * 4, "hair": ["red"] * 3 + ["black"] * 5, "coin": coins})
    profile = fs.clusters.profile(rows, ["hair", "coin"])
    p = profile["p"].to_list()
    # Benjamini & Hochberg: p times n by its rank, and never above that of a larger p
    expected = [min(len(p) * q / sum(r <= q for r in p) for q in p if q >= one) for one in p]
    assert profile["p_adjusted"].to_list() == pytest.approx(expected)
    assert fs.clusters.profile(rows.with_columns(cluster=pl.lit(-1)), ["hair"]).is_empty()


def test_names_say_of_which_part_a_label_speaks():
    rows = {"cluster": [0] * 40 + [1] * 40, "eye_color": ["blue"] * 40 + ["brown"] * 40}
    profile = fs.clusters.profile(pl.DataFrame(rows), ["eye_color"])
    assert fs.clusters.names(profile)["cluster_name"].to_list() == ["blue eye", "brown eye"]


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


@given(st.data())
@settings(deadline=None, max_examples=50)
def test_association_is_the_adjusted_mutual_information(data):
    """Entropies and chance are computed once for all orders; scikit-learn computes them each time."""
    n = data.draw(st.integers(4, 60))
    draw = np.random.default_rng(data.draw(st.integers(0, 999)))
    groups, values = (np.unique(draw.integers(0, k, n), return_inverse=True)[1] for k in (3, 9))
    assume(min(groups.max(), values.max()) > 0)
    orders = [groups, draw.permutation(groups)]
    expected = [adjusted_mutual_info_score(order, values) for order in orders]
    assert _measure_ami(orders, values) == pytest.approx(expected, abs=1e-12)
