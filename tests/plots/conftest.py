"""What the tests of plots share: a table of twelve faces, their crops, and closing figures."""

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest
from PIL import Image

from facestats.core.tables import N_LANDMARKS, STATUS
from tests.plots.samples import AGE, N


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    for i in range(N):
        Image.new("RGB", (64, 48 if i % 2 else 64), (20 * i, 100, 50)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 64, (N, N_LANDMARKS, 2)).astype(np.float32)
    return pl.DataFrame(
        {
            "image_id": [f"{i}.png" for i in range(N)],
            "crop": [f"{i}.png" for i in range(N)],
            "status": pl.Series(["ok"] * 8 + ["no_face"] * 3 + ["truncated"], dtype=STATUS),
            "error": [None] * 8 + ["no face was found"] * 3 + ["the picture ends early"],
            "x": rng.normal(size=N).astype(np.float32),
            "y": rng.normal(size=N).astype(np.float32),
            "cluster": pl.Series([0] * 5 + [1] * 4 + [2] * 2 + [None], dtype=pl.Int32),
            "score": rng.uniform(size=N),
            "age": pl.Series(["adult"] * 6 + ["child"] * 4 + [None] * 2, dtype=AGE),
            "text_age": pl.Series(["adult"] * 5 + ["child"] * 6 + [None], dtype=AGE),
            "age_score": [0.9] * 6 + [0.4] * 4 + [None] * 2,
            "age_probs": pl.Series([[0.05, 0.05, 0.9]] * 11 + [None], dtype=pl.Array(pl.Float32, 3)),
            "gender": ["female", "male"] * (N // 2),
            "landmarks": pl.Series(points, dtype=pl.Array(pl.Float32, (N_LANDMARKS, 2))),
            "matrix": pl.Series(
                np.tile([[1.0, 0, 0], [0, 1, 0]], (N, 1, 1)), dtype=pl.Array(pl.Float64, (2, 3))
            ),
        }
    )
