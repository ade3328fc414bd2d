"""Differences between the average faces of two groups, tested by a wild bootstrap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from facestats.composites.crop_stack import stack_crops
from facestats.composites.results import GroupDifference
from facestats.composites.running_sums import GroupSums
from facestats.composites.select import describe, select_rows
from facestats.core.tables import KEY

if TYPE_CHECKING:
    import os

SIDE = 128  # pixels per side of tested maps, finer than the precision of the landmarks


def difference(
    faces: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    *,
    by: str,
    groups: tuple[Any, Any],
    method: Literal["mean", "warp"] = "warp",
    n_resamples: int = 1000,
    min_faces: int = 8,
    seed: int = 0,
) -> GroupDifference:
    """Test at which pixels two groups differ in lightness, on maps of 128 x 128 pixels.

    The test is a wild bootstrap of Welch's t (Wu 1986; Mammen 1993): the deviation of each face from the mean of its group
    keeps or changes its sign at random, so that groups of unequal size and spread keep the level. p is corrected for
    the number of pixels by the largest |t| of each resample (Westfall & Young 1993). Any number of faces fits into
    memory.

    Parameters
    ----------
    faces
        Rows of the faces or master table with the column `by`.
    crops_dir
        Folder of the crops.
    by
        Column of groups.
    groups
        Two values of `by`; the map is the first group minus the second.
    method
        `warp` first warps all faces onto the mean shape of both groups, so that the map shows surface and not shape.
        `mean` compares the pixels as they are.
    n_resamples
        Number of resamples; the smallest possible p is 1 / (n_resamples + 1).
    min_faces
        Smallest allowed number of faces in each group; two are always needed, for their spread.
    seed
        Fixes the resamples.

    Returns
    -------
    Maps of difference, t, p and effect size: see :class:`facestats.composites.results.GroupDifference`.

    Raises
    ------
    ValueError
        If a group has too few faces.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> faces = project.faces.join(project.truth, on="image_id")
    >>> pair = {"by": "true_age", "groups": ("child", "elderly")}
    >>> found = fs.composites.difference(faces, project.crops_dir, **pair, n_resamples=99, min_faces=6)
    >>> found.counts, found.difference.shape
    ((6, 6), (128, 128))
    """
    selected = [select_rows(faces, {by: g}, min_rows=max(2, min_faces))[0] for g in groups]
    parts = [stack_crops(rows, crops_dir, method=method, min_faces=min_faces).faces for rows in selected]
    crops = stack_crops(pl.concat(parts), crops_dir, method=method, min_faces=min_faces)
    n_first, n_second = (part.height for part in parts)
    sums = GroupSums(n_resamples=n_resamples, seed=seed)
    first = np.arange(n_first + n_second) < n_first
    start = 0
    for batch in crops.resized_batches(method, side=SIDE, grey=True):
        sums.add(batch, first[start : start + len(batch)])
        start += len(batch)
    maps = [m.astype(np.float32).reshape(SIDE, SIDE) for m in sums.result()]
    settings = {
        "where": " minus ".join(describe({by: group}) for group in groups),
        "by": by,
        "groups": [str(group) for group in groups],
        "method": method,
        "min_faces": min_faces,
        "n_resamples": n_resamples,
        "seed": seed,
        "side": SIDE,
    }
    names = (str(groups[0]), str(groups[1]))
    members = tuple(crops.faces[KEY])
    return GroupDifference(maps[0], maps[1], maps[2], maps[3], names, (n_first, n_second), members, settings)
