"""Stage 07: group faces by their vectors, and lay them out in two dimensions."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from facestats.core.progress import say
from facestats.core.tables import KEY
from facestats.core.vectors import (
    N_DIMS,
    find_centres,
    find_dense,
    give_back,
    number_by_size,
    reduce_vectors,
    resample_centres,
    take_vectors,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from numpy.typing import NDArray

VERSION = 3
LEAST = 3  # faces that can be grouped or laid out at all
EXACT = 4096  # up to so many faces UMAP itself looks for exact neighbours
MIN_UMAP = 10  # fewer points have no neighbourhoods worth the name
STABILITY = {
    "n_clusters": pl.Int32,
    **dict.fromkeys(("ari", "ari_low", "ari_high"), pl.Float64),
    "smallest": pl.Int64,
    "chosen": pl.Boolean,
}


def cluster_faces(
    embeddings: pl.DataFrame,
    *,
    n_clusters: int | None = None,
    seed: int,
    method: Literal["kmeans", "hdbscan"] = "kmeans",
    min_cluster_size: int = 10,
    column: str = "embedding",
) -> pl.DataFrame:
    """Cluster the faces on the first principal components of their vectors.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`; rows without a vector get no cluster.
    n_clusters
        Number of clusters, for `kmeans`.
    seed
        Decides the starting points of `kmeans`; `hdbscan` knows no chance.
    method
        `kmeans` gives every face a cluster (mini-batches above 50,000 faces); `hdbscan` finds dense groups
        and their number itself, and calls the other faces noise (Campello, Moulavi & Sander 2013).
    min_cluster_size
        Smallest group that `hdbscan` calls a cluster.
    column
        Which vector: `embedding` (face) or `embedding_full` (whole picture).

    Returns
    -------
    All rows: `image_id` and `cluster` (Int32; 0 is the largest; -1 noise of hdbscan; null no vector).
    """
    if method not in ("kmeans", "hdbscan"):
        msg = f"method must be 'kmeans' or 'hdbscan', got {method!r}"
        raise ValueError(msg)
    known, vectors = take_vectors(embeddings, column, least=LEAST)
    points = reduce_vectors(vectors, N_DIMS)
    dense = method == "hdbscan"
    labels = find_dense(points, min_cluster_size) if dense else find_centres(points, n_clusters, seed=seed)
    return give_back(embeddings, known, {"cluster": pl.Series(number_by_size(labels), dtype=pl.Int32)})


def map_faces(
    embeddings: pl.DataFrame,
    *,
    n_clusters: int,
    seed: int,
    method: Literal["kmeans", "hdbscan"] = "kmeans",
    min_cluster_size: int = 10,
    n_neighbors: int = 15,
    column: str = "embedding",
) -> pl.DataFrame:
    """Cluster the faces and lay them out twice: the whole table of this stage in one call.

    Made for any collection: what there are too few faces for is lowered, or left empty, with a message.

    Parameters
    ----------
    embeddings, n_clusters, seed, method, min_cluster_size, column
        As in :func:`cluster_faces`; no more clusters than faces are made, and no cluster is larger than all faces.
    n_neighbors
        As in :func:`project_umap`.

    Returns
    -------
    All rows: `image_id`, `cluster` (Int32), `x` and `y` (Float32, UMAP), `pca_x` and `pca_y` (Float32); null where
    there is no vector, and everywhere where there are fewer than 3 faces.
    """
    n = embeddings.height - embeddings[column].null_count()
    if n < LEAST:
        say(
            f"map_faces: {n} faces are too few for clusters and maps, which need {LEAST}; their columns are empty."
        )
        places = [pl.lit(None, dtype=pl.Float32).alias(name) for name in ("x", "y", "pca_x", "pca_y")]
        return embeddings.select(KEY, pl.lit(None, dtype=pl.Int32).alias("cluster"), *places)
    settings = {"n_clusters": n_clusters} if method == "kmeans" else {"min_cluster_size": min_cluster_size}
    for name, value in settings.items():
        if n < value:
            say(f"map_faces: {name} lowered from {value} to {n}, since there are {n} faces.")
            settings[name] = n
    table = cluster_faces(embeddings, seed=seed, method=method, column=column, **settings)
    umap = project_umap(embeddings, seed=seed, n_neighbors=n_neighbors, column=column)
    pca = project_pca(embeddings, column=column).rename({"x": "pca_x", "y": "pca_y"})
    for layout in (umap, pca):
        table = table.join(layout, on=KEY, how="left", validate="1:1", maintain_order="left")
    return table


def project_umap(
    embeddings: pl.DataFrame, *, seed: int, n_neighbors: int = 15, column: str = "embedding"
) -> pl.DataFrame:
    """Lay the faces out in two dimensions so that neighbours stay neighbours (UMAP, McInnes et al. 2018).

    Distances between far groups and the sizes of groups mean nothing in such a map.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    seed
        Decides the layout; the same seed gives the same map on the same machine.
    n_neighbors
        How many neighbours count as near; lowered, with a message, where there are not so many faces.
        Below 10 faces the PCA layout comes back, with a message.
    column
        Which vector: `embedding` or `embedding_full`.

    Returns
    -------
    All rows: `image_id`, `x` and `y` (Float32; null where there is no vector).
    """
    known, vectors = take_vectors(embeddings, column, least=LEAST)
    n = len(vectors)
    if n < MIN_UMAP:
        say(f"project_umap: {n} faces are too few for UMAP (it needs {MIN_UMAP}); this is their PCA layout.")
        return project_pca(embeddings, column=column)
    if n_neighbors >= n:
        say(f"project_umap: n_neighbors lowered from {n_neighbors} to {n - 1}, since there are {n} faces.")
    points, k = reduce_vectors(vectors, N_DIMS), min(n_neighbors, n - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # that Tensorflow is absent, which nobody needs here
        warnings.filterwarnings("ignore", "precomputed_knn")  # new faces cannot be put in: no search index
        umap = _import_umap()
        # a random start spends its time untangling; two principal components are also reproducible
        model = umap.UMAP(n_neighbors=k, random_state=seed, init="pca", n_jobs=1, **_neighbors(points, k))
        layout = model.fit_transform(points)
    return give_back(embeddings, known, _xy(layout))


@cache
def _import_umap() -> ModuleType:
    """UMAP, whose functions numba then keeps on disk: else each process compiles them anew, for 10 to 40 s."""
    import umap
    from numba.core.dispatcher import Dispatcher

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in {"umap", "pynndescent"}:
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    function.enable_caching()
    return umap


def _neighbors(points: NDArray[np.float32], k: int) -> dict[str, Any]:
    """Exact neighbours for UMAP, whose own search of small data is compiled for ten seconds first."""
    if len(points) > EXACT:
        return {}
    from sklearn.neighbors import NearestNeighbors

    distances, places = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(points)
    return {"precomputed_knn": (places, distances), "force_approximation_algorithm": True}


def project_pca(embeddings: pl.DataFrame, *, column: str = "embedding") -> pl.DataFrame:
    """Lay the faces out on their first two principal components; no chance is involved.

    Parameters
    ----------
    embeddings, column
        As in :func:`project_umap`.

    Returns
    -------
    All rows: `image_id`, `x` and `y` (Float32; null where there is no vector).
    """
    known, vectors = take_vectors(embeddings, column, least=LEAST)
    return give_back(embeddings, known, _xy(reduce_vectors(vectors, 2)))


def cluster_stability(
    embeddings: pl.DataFrame,
    *,
    n_clusters: Sequence[int],
    n_resamples: int = 20,
    seed: int,
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
        say(f"cluster_stability: numbers above {most} are left out, since there are {len(vectors)} faces.")
    if not numbers:
        return pl.DataFrame(schema=STABILITY)
    points = reduce_vectors(vectors, N_DIMS)
    rows, errors = [], []
    for k in numbers:
        reference = find_centres(points, k, seed=seed)
        scores = resample_centres(points, reference, n_resamples=n_resamples, seed=seed)
        low, high = np.quantile(scores, [0.05, 0.95])
        rows.append((k, np.mean(scores), low, high, int(np.bincount(reference).min()), None))
        errors.append(np.std(scores) / np.sqrt(n_resamples))
    frame = pl.DataFrame(rows, schema=STABILITY, orient="row")
    best = int(np.argmax(frame["ari"].to_numpy()))
    good = frame.filter(pl.col("ari") >= frame["ari"][best] - errors[best])["n_clusters"].max()
    return frame.with_columns(chosen=pl.col("n_clusters") == good)


def _xy(points: NDArray[np.float32]) -> dict[str, pl.Series]:
    flat = np.zeros(len(points), dtype=np.float32)
    columns = (points[:, 0], points[:, 1] if points.shape[1] > 1 else flat)
    return {name: pl.Series(values, dtype=pl.Float32) for name, values in zip("xy", columns, strict=True)}
