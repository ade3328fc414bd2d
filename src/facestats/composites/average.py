"""Stage 08: average faces, and what can be said about groups of them.

Averages are taken of the stored 8-bit values (sRGB), not of linear light: sRGB steps are nearly even in
perceived lightness, so the average of a dark and a light skin looks half-way, and the results can be compared
with those of PsychoMorph and WebMorph, which average the same values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from facestats.composites.crop_stack import open_crops
from facestats.composites.results import Composite, Eigenfaces, GroupDifference
from facestats.composites.running_sums import Moments, PermutedSums, principal_components
from facestats.composites.select import describe, select_rows
from facestats.composites.warp import build_mesh, mirror_shape, warp_face
from facestats.core.tables import KEY, check_columns

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SIDE = 128  # pixels per side of tested maps: finer than any landmark is placed


def average_faces(
    faces: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    *,
    method: Literal["mean", "warp"] = "mean",
    where: Mapping[str, Any] | None = None,
    relax: Sequence[str] = (),
    min_faces: int = 8,
    weights: str | None = None,
) -> Composite:
    """Average the aligned crops of `faces`; any number of them fits into memory.

    Parameters
    ----------
    faces
        Rows of the faces or master table, with `image_id`, `crop` and, for `warp`, `landmarks` and `matrix`.
    crops_dir
        Folder of the crops.
    method
        `mean` averages pixels; `warp` first moves every face onto the mean shape of all, so that features
        stay sharp (Tiddeman, Burt & Perrett 2001).
    where
        Conditions that a face must fulfil, as in :func:`facestats.composites.select`.
    relax
        Conditions that may be dropped, in this order, if too few faces are left; recorded and shown.
    min_faces
        Fewer faces are an error.
    weights
        Column of weights, 0 or more; by default all faces count alike.

    Raises
    ------
    ValueError
        If too few faces are left; with the count of each condition.
    """
    chosen, relaxed = select_rows(faces, where or {}, min_rows=min_faces, relax=relax)
    crops = open_crops(chosen, crops_dir, method=method, min_faces=min_faces)
    shares = _shares(crops.faces, weights)
    shape = crops.mean_shape(shares) if crops.has_shapes else None
    mesh = build_mesh(shape, crops.size) if method == "warp" and shape is not None else None
    moments = Moments()
    for pixels, share in zip(crops.pixels(mesh), shares, strict=True):
        moments.add(pixels, weight=share if weights else 1)
    settings = {
        "where": describe({k: v for k, v in (where or {}).items() if k not in relaxed}),
        "relaxed": [describe({k: (where or {})[k]}) for k in relaxed],
        "min_faces": min_faces,
        "weights": weights,
        "size": list(crops.size),
        "excluded": crops.excluded,
    }
    return Composite(
        _grey_levels(moments.mean()),
        moments.sd().astype(np.float32),
        shape,
        tuple(crops.faces[KEY]),
        tuple(shares.tolist()),
        method,
        settings,
    )


def morph(first: Composite, second: Composite, *, share: float = 0.5) -> Composite:
    """Blend two composites in shape and colour: share 0 is the first, 1 the second, beyond is a caricature.

    Parameters
    ----------
    first, second
        Warped averages of the same crop size.
    share
        How far to go from the first to the second.
    """
    _same_size(first, second)
    shape = (1 - share) * _shape(first) + share * _shape(second)
    mesh = build_mesh(shape, first.pixels.shape[:2])
    a, b = (warp_face(c.pixels, _shape(c), mesh).astype(np.float64) for c in (first, second))
    spreads = (warp_face(c.sd, _shape(c), mesh) for c in (first, second))
    sd = sum(abs(w) * s for w, s in zip((1 - share, share), spreads, strict=True))
    weights = [(1 - share) * w for w in first.weights] + [share * w for w in second.weights]
    settings = {
        "share": share,
        "first": first.caption,
        "second": second.caption,
        "size": first.settings["size"],
    }
    return Composite(
        _grey_levels((1 - share) * a + share * b),
        sd.astype(np.float32),
        shape,
        first.members + second.members,
        tuple(weights),
        "morph",
        settings,
    )


def mirror(face: Composite) -> Composite:
    """Average a composite with its mirror image, in shape and colour: a symmetric face.

    Parameters
    ----------
    face
        A warped average.
    """
    height, width = face.pixels.shape[:2]
    shape = _shape(face)
    shape = (shape + mirror_shape(shape, width)) / 2
    mesh = build_mesh(shape, (height, width))
    # the warped picture is mirrored, not warped again: the result is symmetric to the last bit
    pixels = warp_face(face.pixels, _shape(face), mesh).astype(np.float64)
    sd = warp_face(face.sd, _shape(face), mesh)
    settings = face.settings | {"of": face.method}
    return Composite(
        _grey_levels((pixels + pixels[:, ::-1]) / 2),
        (sd + sd[:, ::-1]) / 2,
        shape,
        face.members,
        face.weights,
        "symmetric",
        settings,
    )


def difference(
    faces: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    *,
    by: str,
    groups: tuple[Any, Any],
    method: Literal["mean", "warp"] = "warp",
    n_permutations: int = 1000,
    min_faces: int = 8,
    seed: int = 0,
) -> GroupDifference:
    """Test where two groups differ in lightness, at a side of 128 pixels.

    With `warp` all faces first take the mean shape of both groups, so that the map shows surface and not
    shape. Chance is judged by exchanging the labels, and corrected for the number of pixels by the largest
    |t| of each exchange (Nichols & Holmes 2002). Any number of faces fits into memory.

    Parameters
    ----------
    faces
        Rows of the faces or master table with the column `by`.
    crops_dir
        Folder of the crops.
    by
        Column of groups.
    groups
        The two values of `by`; the map is the first minus the second.
    method
        `mean` or `warp`.
    n_permutations
        Exchanges of labels; the smallest p is 1 / (n_permutations + 1).
    min_faces
        Fewer faces in either group are an error.
    seed
        Decides the exchanges.
    """
    sizes = [select_rows(faces, {by: g}, min_rows=min_faces)[0] for g in groups]
    parts = [open_crops(rows, crops_dir, method=method, min_faces=min_faces).faces for rows in sizes]
    crops = open_crops(pl.concat(parts), crops_dir, method=method, min_faces=min_faces)
    n_first, n_second = (part.height for part in parts)
    sums = PermutedSums(n_first, n_second, n_permutations=n_permutations, seed=seed)
    first = np.arange(n_first + n_second) < n_first
    start = 0
    for block in crops.small_blocks(method, side=SIDE, grey=True):
        sums.add(block, first[start : start + len(block)])
        start += len(block)
    maps = [m.astype(np.float32).reshape(SIDE, SIDE) for m in sums.result()]
    settings = {
        "where": " minus ".join(describe({by: group}) for group in groups),
        "by": by,
        "groups": [str(group) for group in groups],
        "method": method,
        "min_faces": min_faces,
        "n_permutations": n_permutations,
        "seed": seed,
        "side": SIDE,
    }
    names = (str(groups[0]), str(groups[1]))
    members = tuple(crops.faces[KEY])
    return GroupDifference(maps[0], maps[1], maps[2], names, (n_first, n_second), members, settings)


def eigenfaces(
    faces: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    *,
    n_components: int = 8,
    method: Literal["mean", "warp"] = "warp",
    where: Mapping[str, Any] | None = None,
    side: int = 128,
) -> Eigenfaces:
    """Find the directions in which faces differ most (Turk & Pentland 1991), from batches in fixed memory.

    Parameters
    ----------
    faces
        Rows of the faces or master table, at least two more than `n_components`.
    crops_dir
        Folder of the crops.
    n_components
        How many directions.
    method
        `mean` takes the pixels as they are; `warp` moves every face onto the mean shape first, so that
        components are of surface and walks stay sharp.
    where
        Conditions that a face must fulfil, as in :func:`facestats.composites.select`.
    side
        Pixels per side that the crops are reduced to.
    """
    chosen = select_rows(faces, where, min_rows=n_components + 2)[0] if where else faces
    crops = open_crops(chosen, crops_dir, method=method, min_faces=n_components + 2)
    blocks = crops.small_blocks(method, side=side, grey=False)
    mean, components, sd, explained = principal_components(blocks, n_components)
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


def sharpness_ratio(face: Composite, other: Composite) -> float:
    """How much sharper `face` shows eyes, nose and mouth than `other`: see ``Composite.sharpness``."""
    _same_size(face, other)
    return face.sharpness / other.sharpness


def _grey_levels(pixels: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _shape(face: Composite) -> NDArray[np.float64]:
    if face.shape is None:
        msg = f"this composite ({face.caption}) has no landmarks; make it from rows with landmarks and matrix"
        raise ValueError(msg)
    return face.shape


def _same_size(first: Composite, second: Composite) -> None:
    if first.pixels.shape != second.pixels.shape:
        msg = f"the two composites differ in size: {first.pixels.shape[:2]} and {second.pixels.shape[:2]}"
        raise ValueError(msg)


def _shares(faces: pl.DataFrame, weights: str | None) -> NDArray[np.float64]:
    """Weight of each face; they sum to one."""
    if weights is None:
        return np.full(faces.height, 1 / faces.height)
    check_columns(faces, weights, made_by="you: weights is the name of a column")
    values = faces[weights].cast(pl.Float64).to_numpy()
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        msg = f"weights must be finite, 0 or more and not all 0; {weights!r} holds {faces[weights].unique()[:5].to_list()}"
        raise ValueError(msg)
    return values / values.sum()
