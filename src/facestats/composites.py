"""Stage 08: average faces, and what can be said about groups of them.

Averages are taken of the stored 8-bit values (sRGB), not of linear light: sRGB steps are nearly even in
perceived lightness, so the average of a dark and a light skin looks half-way, and the results can be compared
with those of PsychoMorph and WebMorph, which average the same values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from facestats.core.crops import open_crops
from facestats.core.moments import Moments
from facestats.core.results import Composite
from facestats.core.select import describe, select_rows
from facestats.core.tables import KEY, check_columns
from facestats.core.warp import build_mesh, mirror_shape, warp_face

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

# eyes, brows, nose and mouth in every aligned crop: left, top, right, bottom as shares of its side
FEATURES = (0.27, 0.36, 0.73, 0.78)


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
        Conditions that a face must fulfil, as in :func:`select_faces`.
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


def select_faces(master: pl.DataFrame, *, min_faces: int = 1, **conditions: Any) -> pl.DataFrame:
    """Keep the rows that fulfil every condition, or fail naming the count of each; nothing is relaxed.

    Parameters
    ----------
    master
        Any table with the columns that the conditions name.
    min_faces
        Fewer rows are an error.
    conditions
        Column and what it must be: one value, a list of allowed values, a tuple ``(low, high)`` of numbers
        (both included, None for no limit), or None for a missing value.

    Raises
    ------
    ValueError
        If too few rows are left, or a value occurs nowhere in its column.
    """
    return select_rows(master, conditions, min_rows=min_faces)[0]


def morph_faces(first: Composite, second: Composite, *, share: float = 0.5) -> Composite:
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


def mirror_average(face: Composite) -> Composite:
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


def sharpness_ratio(face: Composite, other: Composite) -> float:
    """How much sharper `face` shows eyes, nose and mouth than `other`.

    The ratio of the variances of the Laplacian (Pech-Pacheco et al. 2000) over the region of the features,
    after a Gaussian of 1/256 of the side: finer detail in an average is noise of single faces.
    """
    _same_size(face, other)
    return _sharpness(face.pixels) / _sharpness(other.pixels)


def _sharpness(pixels: NDArray[np.uint8]) -> float:
    import cv2

    height, width = pixels.shape[:2]
    left, top, right, bottom = (round(f * s) for f, s in zip(FEATURES, (width, height) * 2, strict=True))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float64)
    edges = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), height / 256), cv2.CV_64F)
    return float(edges[top:bottom, left:right].var())


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
