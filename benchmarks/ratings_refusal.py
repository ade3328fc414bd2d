"""Measure how often a model of ratings is applied where the faces explain nothing, and where they explain something.

    python benchmarks/ratings_refusal.py

Each draw is a new collection of faces with vectors of 64 dimensions and six raters. Of the variance of the true mean
ratings, the vectors explain a share of 0 (mere noise), 0.3 or 0.6. In `persons`, five pictures of each person have
similar vectors and a common rating, which is noise to a model that has not seen the person. A model is applied if the 95 %
interval of its held-out skill lies above 0 (`fit.refusal` is None).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from common import describe_machine, keep, markdown_table

import facestats as fs
from facestats.core.config import RatingsSettings
from facestats.core.stats import wilson_interval

DIM, RATERS, NOISE = 64, 6, 1.0
SETTINGS = RatingsSettings(columns=("embedding",), n_shape=0, person="person")
# faces, pictures of each person, share of the variance that the vectors explain, draws
CASES = (
    (30, 1, 0.0, 200),
    (100, 1, 0.0, 200),
    (100, 5, 0.0, 200),
    (50, 1, 0.6, 50),
    (100, 1, 0.3, 50),
    (100, 1, 0.6, 50),
)


def draw(n: int, *, per_person: int, share: float, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw vectors and ratings of `n` faces."""
    rng = np.random.default_rng(seed)
    person = np.arange(n) // per_person
    x = rng.normal(size=(n, DIM))
    if per_person > 1:
        x = 0.4 * x + rng.normal(size=(n, DIM))[person]
    x *= np.geomspace(1, 0.2, DIM)
    signal = (x[:, 0] - x[:, 0].mean()) / x[:, 0].std()
    score = 4 + np.sqrt(share) * signal + np.sqrt(1 - share) * rng.normal(size=n)[person]
    values = score[:, None] + rng.normal(size=RATERS) + NOISE * rng.normal(size=(n, RATERS))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{i:03d}" for i in range(n)]
    faces = pl.DataFrame({"image_id": ids, "embedding": x, "person": [f"p{p}" for p in person]})
    rows = [(ids[i], f"rater_{j}", float(values[i, j])) for i in range(n) for j in range(RATERS)]
    return faces, pl.DataFrame(rows, schema=["image_id", "rater_id", "rating"], orient="row")


def main() -> None:
    """Draw all cases, and write how often a model was applied in each."""
    facts, rows = describe_machine(["facestats", "numpy", "scikit-learn"]), []
    for n, per_person, share, draws in CASES:
        applied = 0
        for seed in range(draws):
            faces, ratings = draw(n, per_person=per_person, share=share, seed=seed)
            fit = fs.fit_ratings(faces, ratings, fs.models.ridge(), encoder="none@1", settings=SETTINGS)
            applied += fit.refusal is None
        low, high = wilson_interval(np.array([applied]), np.array([draws]))
        name = f"{n} faces" + (f" of {n // per_person} persons" if per_person > 1 else "")
        rows.append((name, share, draws, applied / draws, float(low[0]), float(high[0])))
        print(rows[-1], flush=True)
    names = ["collection", "explained share", "draws", "model applied", "95 % low", "95 % high"]
    table = pl.DataFrame(rows, schema=names, orient="row")
    lines = ["# Is a model applied where there is nothing to predict?", "", *markdown_table(table)]
    lines += ["", ", ".join(f"{k}: {v}" for k, v in facts.items())]
    keep("ratings_refusal", "\n".join(lines) + "\n", facts=facts, rows=rows)


if __name__ == "__main__":
    main()
