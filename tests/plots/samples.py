"""Small results of stages, made by hand, for the tests of plots."""

import numpy as np
import polars as pl

from facestats.composites.results import Composite, Eigenfaces, GroupDifference

AGE = pl.Enum(["child", "teen", "adult"])
N = 12


def composite(value: int = 100, side: int = 32) -> Composite:
    pixels = np.full((side, side, 3), value, dtype=np.uint8)
    settings = {"where": "gender = female", "relaxed": ["age = 20"], "size": [side, side]}
    return Composite(
        pixels, np.full((side, side), 7, np.float32), None, ("a", "b"), (0.5, 0.5), "mean", settings
    )


def group_difference() -> GroupDifference:
    square = np.zeros((16, 16), dtype=np.float32)
    square[4:8, 4:8] = -9
    p = np.where(square < 0, 0.01, 1.0)
    return GroupDifference(square, square, p, square / 10, ("women", "men"), (9, 8), ("a",) * 17, {})


def eigen() -> Eigenfaces:
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(3, 16, 16, 3)).astype(np.float32)
    sd = np.array([3, 2, 1], np.float32)
    return Eigenfaces(np.full((16, 16, 3), 99, np.float32), parts, sd, sd / 10, ("a", "b", "c"), {})


def stability() -> pl.DataFrame:
    columns = {"n_clusters": [2, 3], "ari": [0.5, 0.8], "ari_low": [0.4, 0.7], "ari_high": [0.6, 0.9]}
    return pl.DataFrame(columns | {"chosen": [False, True]})


def profile() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "cluster": [0, 0, 1],
            "attribute": ["age"] * 3,
            "label": ["child", "teen", "child"],
            "n": [5, 3, 1],
            "n_cluster": [8, 8, 9],
            "ratio": [4.0, 1.1, 0.2],
            "ratio_low": [2.0, 0.5, 0.1],
            "ratio_high": [8.0, 2.0, 0.9],
            "p": [0.001, 0.9, 0.04],
            "p_adjusted": [0.003, 0.9, 0.06],
        }
    )


def relations() -> pl.DataFrame:
    return pl.DataFrame(
        {"column": ["age", "coin"], "n": [12, 12], "ami": [0.4, 0.01], "chance_high": [0.1, 0.1]}
    )
