"""Faces in three groups of known sizes, with columns that follow the groups and one that does not."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

SIZES = (40, 25, 15)


def vectors(sizes: tuple[int, ...] = SIZES, *, dim: int = 32, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.linalg.qr(rng.normal(size=(dim, len(sizes))))[0].T
    truth = np.repeat(np.arange(len(sizes)), sizes)
    x = centres[truth] + rng.normal(0, 0.08, (len(truth), dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), truth


@pytest.fixture(scope="session")
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
