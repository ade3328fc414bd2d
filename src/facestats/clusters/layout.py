"""Two-dimensional layouts of the faces: UMAP and principal components."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.clusters.principal_components import N_DIMS, reduce_vectors
from facestats.core.progress import say
from facestats.core.vectors import join_to_all_rows, take_vectors

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

MIN_FACES = 3  # fewer faces can neither be clustered nor laid out
MIN_UMAP_FACES = 10  # fewer faces have no meaningful neighbourhoods
MAX_EXACT = 4096  # up to this many faces the neighbours are computed exactly, as UMAP itself does


def project_umap(
    embeddings: pl.DataFrame, *, seed: int = 0, n_neighbors: int = 15, column: str = "embedding"
) -> pl.DataFrame:
    """Lay the faces out in two dimensions so that neighbours stay neighbours (UMAP; McInnes et al. 2018).

    Distances between far groups and the sizes of groups mean nothing in such a map. The first call turns on numba's
    cache for the functions of `umap` and `pynndescent`, in this process: their compiled code is then stored on disk
    (beside these packages, or in ``$NUMBA_CACHE_DIR``), which saves later processes 10 to 40 seconds.

    Parameters
    ----------
    embeddings
        Table with `image_id` and the Array column `column`.
    seed
        Fixes the layout; the same seed gives the same map on the same machine.
    n_neighbors
        Number of nearest neighbours that UMAP preserves. If there are not so many faces, it is lowered, and a message
        says so. For fewer than 10 faces the PCA layout is returned, and a message says so.
    column
        Which vector: `embedding` (face) or `embedding_full` (whole picture).

    Returns
    -------
    All rows: `image_id`, `x` and `y` (Float32; null without a vector).

    Raises
    ------
    ValueError
        If fewer than 3 faces have a vector.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> layout = fs.project_umap(project.embeddings, n_neighbors=5)
    >>> layout.columns, layout.height
    (['image_id', 'x', 'y'], 12)
    """
    known, vectors = take_vectors(embeddings, column, least=MIN_FACES)
    n = len(vectors)
    if n < MIN_UMAP_FACES:
        say(
            f"project_umap: {n} faces are too few for UMAP (it needs {MIN_UMAP_FACES}); this is their PCA layout."
        )
        return project_pca(embeddings, column=column)
    if n_neighbors >= n:
        say(f"project_umap: n_neighbors lowered from {n_neighbors} to {n - 1}, since there are {n} faces.")
    points, k = reduce_vectors(vectors, N_DIMS), min(n_neighbors, n - 1)
    return join_to_all_rows(embeddings, known, _xy_columns(_fit_umap(points, k, seed=seed)))


def _fit_umap(points: NDArray[np.float32], k: int, *, seed: int) -> NDArray[np.float32]:
    """Compute the UMAP layout of `points` from their `k` nearest neighbours, (n, 2)."""
    import numba

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImportWarning)  # Tensorflow is missing, but not needed
        warnings.filterwarnings(
            "ignore", "precomputed_knn"
        )  # no search index: new faces cannot be added later
        umap = _import_umap()
        # a random start takes longer to untangle; the principal components are also reproducible
        model = umap.UMAP(n_neighbors=k, random_state=seed, init="pca", n_jobs=1, **_neighbors(points, k))
        n_threads = numba.get_num_threads()
        try:
            return model.fit_transform(points)
        finally:
            numba.set_num_threads(n_threads)  # UMAP restores it only if it succeeds


@cache
def _import_umap() -> ModuleType:
    """Import UMAP and turn on numba's cache for its functions: otherwise each process compiles them for 10 to 40 s."""
    import umap
    from numba.core.dispatcher import Dispatcher

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in {"umap", "pynndescent"}:
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    function.enable_caching()
    return umap


def _neighbors(points: NDArray[np.float32], k: int) -> dict[str, Any]:
    """Exact neighbours as keywords for UMAP; its own search of small data would first be compiled for ten seconds."""
    if len(points) > MAX_EXACT:
        return {}
    from sklearn.neighbors import NearestNeighbors

    distances, indices = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(points)
    return {"precomputed_knn": (indices, distances), "force_approximation_algorithm": True}


def project_pca(embeddings: pl.DataFrame, *, column: str = "embedding") -> pl.DataFrame:
    """Lay the faces out on their first two principal components; the result is deterministic.

    Parameters
    ----------
    embeddings, column
        As in :func:`project_umap`.

    Returns
    -------
    All rows: `image_id`, `x` and `y` (Float32; null without a vector).

    Raises
    ------
    ValueError
        If fewer than 3 faces have a vector.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> layout = fs.clusters.project_pca(project.embeddings)
    >>> layout.columns, layout.height
    (['image_id', 'x', 'y'], 12)
    """
    known, vectors = take_vectors(embeddings, column, least=MIN_FACES)
    return join_to_all_rows(embeddings, known, _xy_columns(reduce_vectors(vectors, 2)))


def _xy_columns(points: NDArray[np.float32]) -> dict[str, pl.Series]:
    zeros = np.zeros(len(points), dtype=np.float32)
    columns = (points[:, 0], points[:, 1] if points.shape[1] > 1 else zeros)
    return {name: pl.Series(values, dtype=pl.Float32) for name, values in zip("xy", columns, strict=True)}
