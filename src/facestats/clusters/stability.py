"""Which number of clusters is stable when the faces are resampled."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.clusters.algorithms import cluster_kmeans
from facestats.clusters.principal_components import N_DIMS, reduce_vectors
from facestats.core.progress import say
from facestats.core.vectors import take_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_DRAWN = 20_000  # faces per resample
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
    """Find the number of clusters that is most stable when the faces are resampled.

    Each resample draws as many faces with replacement (at most 20,000) and clusters them by k-means from other starting
    points. The clusters are compared with those of all faces by the adjusted Rand index, on the faces drawn (Hennig
    2007; Hubert & Arabie 1985): 1 is the same grouping, 0 is expected by chance for any number of clusters.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    n_clusters
        Numbers of clusters to try. Numbers above half the number of faces are left out, and a message says so:
        clusters of single faces are always stable.
    n_resamples
        Resamples per number.
    seed
        Fixes resamples and starting points.
    column
        Which vector: `embedding` (face) or `embedding_full` (whole picture).

    Returns
    -------
    One row per number of clusters: `n_clusters` (Int32), `ari` (Float64, mean), `ari_low` and `ari_high` (Float64, 5th
    and 95th percentile), `smallest` (Int64, faces in the smallest cluster) and `chosen` (Boolean, true for the largest
    number whose mean is within one standard error of the best). No rows if there are too few faces for every number.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> table = fs.clusters.stability(project.embeddings, n_clusters=[2, 3], n_resamples=5)
    >>> table.select("n_clusters", "chosen").rows()
    [(2, False), (3, True)]
    """
    vectors = take_vectors(embeddings, column)[1]
    most = len(vectors) // 2
    numbers = [k for k in sorted(set(n_clusters)) if k <= most]
    if len(numbers) < len(set(n_clusters)):
        faces = "there is 1 face" if len(vectors) == 1 else f"there are {len(vectors)} faces"
        say(f"clusters.stability: numbers above {most} are left out, since {faces}.")
    if not numbers:
        return pl.DataFrame(schema=STABILITY)
    points = reduce_vectors(vectors, N_DIMS)
    rows, errors = [], []
    for k in numbers:
        labels = cluster_kmeans(points, k, seed=seed)
        scores = _bootstrap_ari(points, labels, n_resamples=n_resamples, seed=seed)
        low, high = np.quantile(scores, [0.05, 0.95])
        rows.append((k, np.mean(scores), low, high, int(np.bincount(labels).min()), None))
        errors.append(np.std(scores) / np.sqrt(n_resamples))
    frame = pl.DataFrame(rows, schema=STABILITY, orient="row")
    best = int(np.argmax(frame["ari"].to_numpy()))
    chosen = frame.filter(pl.col("ari") >= frame["ari"][best] - errors[best])["n_clusters"].max()
    return frame.with_columns(chosen=pl.col("n_clusters") == chosen)


def _bootstrap_ari(
    vectors: NDArray[np.float32], labels: NDArray[np.integer], *, n_resamples: int, seed: int
) -> list[float]:
    """Cluster bootstrap resamples by k-means; return their adjusted Rand indices with `labels` on the vectors drawn."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score

    rng = np.random.default_rng(seed)
    n, scores = len(vectors), []
    for _ in range(n_resamples):
        drawn = rng.integers(0, n, min(n, MAX_DRAWN))
        with warnings.catch_warnings():
            # a resample of few vectors may hold fewer distinct ones than there are clusters
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = int(rng.integers(2**31))
            found = cluster_kmeans(vectors[drawn], int(labels.max()) + 1, seed=start, n_init=3)
        once = np.unique(drawn, return_index=True)[1]
        scores.append(adjusted_rand_score(labels[drawn[once]], found[once]))
    return scores
