from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import facestats as fs
from facestats import cluster_faces

if TYPE_CHECKING:
    import pytest


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
