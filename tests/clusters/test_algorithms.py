from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facestats.clusters.algorithms import number_by_size


@given(st.lists(st.integers(-1, 5), min_size=1, max_size=40))
def test_numbering_by_size(labels: list[int]):
    out = number_by_size(np.array(labels))
    assert ((out == -1) == (np.array(labels) == -1)).all()
    kept = out[out >= 0]
    assert (np.diff(np.bincount(kept)) <= 0).all() if len(kept) else True
    for name in set(labels) - {-1}:
        assert len(set(out[np.array(labels) == name])) == 1
