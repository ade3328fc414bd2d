"""Lay faces out in two dimensions: UMAP and principal components."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.clusters.kmeans import N_DIMS, reduce_vectors
from facestats.core.progress import say
from facestats.core.vectors import join_to_all_rows, take_vectors

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

LEAST = 3  # faces that can be laid out or grouped at all

EXACT = 4096  # up to so many faces UMAP itself looks for exact neighbours
MIN_UMAP = 10  # fewer points have no neighbourhoods worth the name


def project_umap(
    embeddings: pl.DataFrame, *, seed: int = 0, n_neighbors: int = 15, column: str = "embedding"
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
    return join_to_all_rows(embeddings, known, _xy(layout))


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
    return join_to_all_rows(embeddings, known, _xy(reduce_vectors(vectors, 2)))


def _xy(points: NDArray[np.float32]) -> dict[str, pl.Series]:
    flat = np.zeros(len(points), dtype=np.float32)
    columns = (points[:, 0], points[:, 1] if points.shape[1] > 1 else flat)
    return {name: pl.Series(values, dtype=pl.Float32) for name, values in zip("xy", columns, strict=True)}
