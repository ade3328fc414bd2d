from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.core import vectors as vectors_module
from facestats.core.tables import TableError
from facestats.core.vectors import first_near_duplicate, to_matrix


@given(st.integers(0, 60), st.floats(-1, 1))
def test_each_vector_joins_the_nearest_that_stands_for_a_group_whatever_the_blocks(n, min_cosine):
    x = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vectors_module, "PAIR_BLOCK", 2)
        found = first_near_duplicate(x, min_cosine)
    cosines, expected = x @ x.T, []
    for i in range(n):
        stand = [j for j, first in enumerate(expected) if first == j]
        nearest = max(stand, key=lambda j: cosines[i, j], default=i)
        expected.append(nearest if stand and cosines[i, nearest] >= min_cosine else i)
    assert found.tolist() == expected


def test_a_chain_is_divided_where_it_leads_too_far(monkeypatch):
    monkeypatch.setattr(vectors_module, "PAIR_BLOCK", 2)
    angles = np.array([0, 90, 5, 10, 180, 95]) * np.pi / 180
    x = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    assert first_near_duplicate(x, np.cos(6 * np.pi / 180)).tolist() == [0, 1, 0, 3, 4, 1]


def test_a_matrix_needs_rows_without_nulls():
    kind = pl.Array(pl.Float32, 1)
    assert to_matrix(pl.DataFrame({"v": pl.Series([[1.0], [2.0]], dtype=kind)}), "v").shape == (2, 1)
    holes = pl.DataFrame({"v": pl.Series([[1.0], None], dtype=kind)})
    with pytest.raises(TableError, match=r"1 of 2 rows have no v.*drop_nulls\('v'\)"):
        to_matrix(holes, "v")
