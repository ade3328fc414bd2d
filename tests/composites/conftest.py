"""Drawn faces of five dark spots, and one result of each kind that is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from PIL import Image

import facestats as fs
from facestats import average_faces
from facestats.composites.warp import LEFT, MIDLINE, RIGHT
from facestats.core.tables import N_LANDMARKS

if TYPE_CHECKING:
    from pathlib import Path

SIDE = 96
SPOTS = (33, 263, 1, 61, 291)  # what the drawn faces show: eyes, nose, mouth corners


def draw(folder: Path, n: int, *, move: float = 3.0, seed: int = 0) -> pl.DataFrame:
    """Faces of five dark spots at their landmarks, which differ from face to face by `move` pixels."""
    rng = np.random.default_rng(seed)
    base = rng.uniform((20, 15), (44, 85), size=(N_LANDMARKS, 2))
    base[list(MIDLINE)] = np.column_stack([np.full(len(MIDLINE), 47.5), np.linspace(15, 85, len(MIDLINE))])
    base[list(RIGHT)] = base[list(LEFT)] * [-1, 1] + [SIDE - 1, 0]
    landmarks = base + rng.normal(0, move, (n, 1, 2)) + (base - 48) * rng.normal(0, move / 40, (n, 1, 2))
    y, x = np.mgrid[:SIDE, :SIDE]
    for i, points in enumerate(landmarks):
        grey = np.full((SIDE, SIDE), 200.0 - 40 * (i % 2))
        for spot in SPOTS:
            grey -= 120 * np.exp(-((x - points[spot, 0]) ** 2 + (y - points[spot, 1]) ** 2) / 4)
        Image.fromarray(np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, 2)).save(
            folder / f"{i}.png"
        )
    identity = np.tile(np.array([[1.0, 0, 0], [0, 1, 0]]), (n, 1, 1))
    return pl.DataFrame(
        {
            "image_id": [f"p{i}.jpg" for i in range(n)],
            "crop": [f"{i}.png" for i in range(n)],
            "landmarks": pl.Series(
                landmarks.astype(np.float32), dtype=pl.Array(pl.Float32, (N_LANDMARKS, 2))
            ),
            "matrix": pl.Series(identity, dtype=pl.Array(pl.Float64, (2, 3))),
            "gender": ["female", "male"] * (n // 2) + ["female"] * (n % 2),
            "age": range(20, 20 + n),
        }
    )


@pytest.fixture(scope="session")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


@pytest.fixture(scope="session")
def faces(crops: Path) -> pl.DataFrame:
    return draw(crops, 20)


@pytest.fixture(scope="session")
def results(faces: pl.DataFrame, crops: Path) -> dict:
    pair = {"by": "gender", "groups": ("female", "male"), "n_resamples": 19, "seed": 0}
    return {
        "women": average_faces(faces, crops, where={"gender": "female"}),
        "difference": fs.composites.difference(faces.head(19), crops, **pair),
        "eigenfaces": fs.composites.eigenfaces(faces, crops, n_components=3, side=48),
    }
