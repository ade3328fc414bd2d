from __future__ import annotations

import numpy as np

from facestats.clusters import principal_components
from facestats.clusters.principal_components import reduce_vectors


def test_reducing_is_principal_component_analysis(monkeypatch):
    from sklearn.decomposition import PCA

    monkeypatch.setattr(principal_components, "BLOCK_ROWS", 33)  # several blocks
    x = (np.random.default_rng(0).normal(size=(100, 12)) * np.arange(1, 13)).astype(np.float32)
    ours, theirs = reduce_vectors(x, 4), PCA(4).fit_transform(x)
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=2e-3)


def test_no_more_dimensions_than_the_vectors_span():
    x = np.random.default_rng(0).normal(size=(30, 2)) @ np.random.default_rng(1).normal(size=(2, 9))
    assert reduce_vectors(x.astype(np.float32), 5).shape == (30, 2)
    assert reduce_vectors(np.ones((5, 9), dtype=np.float32), 5).shape == (5, 1)
