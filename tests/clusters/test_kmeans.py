from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.clusters import kmeans
from facestats.clusters.kmeans import number_by_size, reduce_vectors
from facestats.core import vectors as vectors_module
from facestats.core.tables import TableError
from facestats.core.vectors import first_near_duplicate, to_matrix


def test_reducing_is_principal_component_analysis(monkeypatch):
    from sklearn.decomposition import PCA

    monkeypatch.setattr(kmeans, "BLOCK", 33)  # several blocks
    x = (np.random.default_rng(0).normal(size=(100, 12)) * np.arange(1, 13)).astype(np.float32)
    ours, theirs = reduce_vectors(x, 4), PCA(4).fit_transform(x)
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=2e-3)


def test_no_more_dimensions_than_the_vectors_span():
    x = np.random.default_rng(0).normal(size=(30, 2)) @ np.random.default_rng(1).normal(size=(2, 9))
    assert reduce_vectors(x.astype(np.float32), 5).shape == (30, 2)
    assert reduce_vectors(np.ones((5, 9), dtype=np.float32), 5).shape == (5, 1)


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=40))
def test_numbering_by_size(labels: list[int]):
    out = number_by_size(np.array(labels))
    assert ((out == -1) == (np.array(labels) == -1)).all()
    kept = out[out >= 0]
    assert (np.diff(np.bincount(kept)) <= 0).all() if len(kept) else True
    for name in set(labels) - {-1}:
        assert len(set(out[np.array(labels) == name])) == 1


@given(st.integers(0, 60), st.floats(-1, 1))
def test_groups_are_those_of_all_pairs_whatever_the_blocks(n, min_cosine):
    from scipy.sparse.csgraph import connected_components

    x = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors_module, "PAIR_BLOCK", 2)
        found = first_near_duplicate(x, min_cosine)
    groups = connected_components(x @ x.T >= min_cosine)[1] if n else np.zeros(0, dtype=int)
    assert found.tolist() == [int(np.flatnonzero(groups == g)[0]) for g in groups]


def test_chains_of_near_vectors_share_their_first(monkeypatch):
    monkeypatch.setattr(vectors_module, "PAIR_BLOCK", 2)
    angles = np.array([0, 90, 5, 10, 180, 95]) * np.pi / 180
    x = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    assert first_near_duplicate(x, np.cos(6 * np.pi / 180)).tolist() == [0, 1, 0, 0, 4, 1]


def test_a_matrix_needs_rows_without_nulls():
    kind = pl.Array(pl.Float32, 1)
    assert to_matrix(pl.DataFrame({"v": pl.Series([[1.0], [2.0]], dtype=kind)}), "v").shape == (2, 1)
    holes = pl.DataFrame({"v": pl.Series([[1.0], None], dtype=kind)})
    with pytest.raises(TableError, match=r"1 of 2 rows have no v.*drop_nulls\('v'\)"):
        to_matrix(holes, "v")
