"""Principal components of faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from facestats.composites.crop_stack import stack_crops
from facestats.composites.results import Eigenfaces
from facestats.composites.running_sums import principal_components
from facestats.composites.select import describe, select_rows
from facestats.core.tables import KEY

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import polars as pl


def eigenfaces(
    faces: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    *,
    n_components: int = 8,
    method: Literal["mean", "warp"] = "warp",
    where: Mapping[str, Any] | None = None,
    side: int = 128,
) -> Eigenfaces:
    """Find the directions in which faces differ most (Turk & Pentland 1991), in fixed memory.

    Parameters
    ----------
    faces
        Rows of the faces or master table, at least two more than `n_components`.
    crops_dir
        Folder of the crops.
    n_components
        Number of directions.
    method
        `warp` first warps every face onto the mean shape, so that the components show surface and not shape, and walks
        stay sharp. `mean` takes the pixels as they are.
    where
        Conditions that a face must fulfil, as in :func:`facestats.average_faces`.
    side
        Pixels per side that the crops are resized to.

    Returns
    -------
    Mean, components and the variance that they explain: see :class:`facestats.composites.results.Eigenfaces`.

    Raises
    ------
    ValueError
        If too few faces are left for `n_components`.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> found = fs.composites.eigenfaces(project.faces, project.crops_dir, n_components=2, side=32)
    >>> found.components.shape, found.walk(0).shape
    ((2, 32, 32, 3), (5, 32, 32, 3))
    """
    chosen = select_rows(faces, where, min_rows=n_components + 2)[0] if where else faces
    crops = stack_crops(chosen, crops_dir, method=method, min_faces=n_components + 2)
    batches = crops.resized_batches(method, side=side, grey=False)
    mean, components, sd, explained = principal_components(batches, n_components)
    settings = {
        "where": describe(where or {}),
        "method": method,
        "side": side,
        "explained": [round(float(share), 6) for share in explained],
        "sd": [round(float(value), 3) for value in sd],
        "excluded": crops.excluded,
    }
    shape = (side, side, 3)
    return Eigenfaces(
        mean.reshape(shape), components.reshape(-1, *shape), sd, explained, tuple(crops.faces[KEY]), settings
    )
