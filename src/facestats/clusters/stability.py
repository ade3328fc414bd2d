"""Which number of clusters is stable when the faces are resampled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.clusters.kmeans import N_DIMS, bootstrap_ari, cluster_kmeans, reduce_vectors
from facestats.core.progress import say
from facestats.core.vectors import take_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

STABILITY = {
    "n_clusters": pl.Int32,
    **dict.fromkeys(("ari", "ari_low", "ari_high"), pl.Float64),
    "smallest": pl.Int64,
    "chosen": pl.Boolean,
}


def stability(
    embeddings: pl.DataFrame,
    *,
    n_clusters: Sequence[int],
    n_resamples: int = 20,
    seed: int = 0,
    column: str = "embedding",
) -> pl.DataFrame:
    """Ask which number of clusters comes back when the faces are drawn anew.

    Each resample draws as many faces with replacement (20,000 at most) and starts k-means elsewhere; its
    clusters are compared with those of all faces by the adjusted Rand index on the faces drawn (Hennig 2007; Hubert &
    Arabie 1985): 1 is the same grouping, 0 is what chance gives for any number.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    n_clusters
        Numbers to try; those above half the number of faces are left out, with a message, since clusters of single
        faces always come back.
    n_resamples
        Resamples per number.
    seed
        Decides resamples and starts.
    column
        Which vector: `embedding` or `embedding_full`.

    Returns
    -------
    One row per number: `n_clusters`, `ari` (mean), `ari_low` and `ari_high` (5th and 95th percentile),
    `smallest` (faces in the smallest cluster) and `chosen` (Boolean: the largest number whose mean lies
    within one standard error of the best). No row where there are too few faces for any number.
    """
    vectors = take_vectors(embeddings, column)[1]
    most = len(vectors) // 2
    numbers = [k for k in sorted(set(n_clusters)) if k <= most]
    if len(numbers) < len(set(n_clusters)):
        say(f"clusters.stability: numbers above {most} are left out, since there are {len(vectors)} faces.")
    if not numbers:
        return pl.DataFrame(schema=STABILITY)
    points = reduce_vectors(vectors, N_DIMS)
    rows, errors = [], []
    for k in numbers:
        reference = cluster_kmeans(points, k, seed=seed)
        scores = bootstrap_ari(points, reference, n_resamples=n_resamples, seed=seed)
        low, high = np.quantile(scores, [0.05, 0.95])
        rows.append((k, np.mean(scores), low, high, int(np.bincount(reference).min()), None))
        errors.append(np.std(scores) / np.sqrt(n_resamples))
    frame = pl.DataFrame(rows, schema=STABILITY, orient="row")
    best = int(np.argmax(frame["ari"].to_numpy()))
    good = frame.filter(pl.col("ari") >= frame["ari"][best] - errors[best])["n_clusters"].max()
    return frame.with_columns(chosen=pl.col("n_clusters") == good)
