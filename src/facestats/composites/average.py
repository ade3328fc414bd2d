"""Stage 08: average faces, morphs and symmetric faces.

The stored 8-bit values (sRGB) are averaged, not linear light. sRGB steps are nearly even in perceived lightness, so the
average of dark and light skin looks half-way between them. PsychoMorph and WebMorph average the same values, so results
can be compared with theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from facestats.composites.crop_stack import stack_crops
from facestats.composites.results import Composite, to_grey_levels
from facestats.composites.running_sums import Moments
from facestats.composites.select import describe, select_rows
from facestats.composites.warp import build_mesh, mirror_shape, warp_face
from facestats.core.tables import KEY, check_columns

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray


def average_groups(
    faces: pl.DataFrame,
    crops_dir: str | os.PathLike[str],
    groups: Mapping[str, Mapping[str, Any]],
    *,
    method: Literal["mean", "warp"] = "warp",
    min_faces: int = 1,
    remember: Callable[..., Any] | None = None,
) -> dict[str, Composite]:
    """Average the faces of each group.

    Parameters
    ----------
    faces
        Table with `image_id`, `crop`, `landmarks`, `matrix`, and the columns that the conditions name.
    crops_dir
        Folder of the crops.
    groups
        Condition of each group by its name, from :func:`facestats.composites.groups`.
    method, min_faces
        As in :func:`facestats.average_faces`.
    remember
        ``store.remember``, to read again the averages whose members did not change.

    Returns
    -------
    The average of each group, by name.

    Raises
    ------
    ValueError
        As :func:`facestats.average_faces`.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> faces = project.faces.join(project.truth, on="image_id")
    >>> groups = fs.composites.groups(faces, "true_age", min_faces=4)
    >>> averages = fs.composites.average_groups(faces, project.crops_dir, groups)
    >>> list(averages) == list(groups)
    True
    """
    call = remember or (lambda _, func, *given, **settings: func(*given, **settings))
    needed = (KEY, "crop", "landmarks", "matrix")  # an average does not depend on other labels
    settings = {"method": method, "min_faces": min_faces}
    return {
        name: call(name, average_faces, faces.select(*needed, *rule), crops_dir, where=dict(rule), **settings)
        for name, rule in groups.items()
    }


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
    """Average the aligned crops of `faces`; any number of faces fits into memory.

    Parameters
    ----------
    faces
        Rows of the faces or master table, with `image_id`, `crop` and, for `warp`, `landmarks` and `matrix`.
    crops_dir
        Folder of the crops.
    method
        `mean` averages the pixels. `warp` first warps every face onto the mean shape of all faces, so that the features
        stay sharp (Tiddeman, Burt & Perrett 2001).
    where
        Conditions that a face must fulfil: a dictionary from column to allowed values, which are written as in
        :func:`facestats.composites.select`.
    relax
        Columns whose conditions may be dropped, in this order, if too few faces are left. Dropped conditions are
        recorded and appear in the caption.
    min_faces
        Smallest allowed number of faces.
    weights
        Column of weights, 0 or more; by default all faces have the same weight.

    Returns
    -------
    The average, with members, weights and settings: see :class:`facestats.composites.results.Composite`.

    Raises
    ------
    ValueError
        If too few faces are left (the message counts each condition), or the weights or crops are not usable.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> fs.average_faces(project.faces, project.crops_dir, method="warp")
    Composite(warp, n = 12, 64 x 64 pixels)
    """
    chosen, relaxed = select_rows(faces, where or {}, min_rows=min_faces, relax=relax)
    crops = stack_crops(chosen, crops_dir, method=method, min_faces=min_faces)
    shares = _normalised_weights(crops.faces, weights)
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
        to_grey_levels(moments.mean()),
        moments.sd().astype(np.float32),
        shape,
        tuple(crops.faces[KEY]),
        tuple(shares.tolist()),
        method,
        settings,
    )


def morph(first: Composite, second: Composite, *, share: float = 0.5) -> Composite:
    """Blend two composites in shape and colour.

    Parameters
    ----------
    first, second
        Composites with landmarks, of the same crop size; best made with the method `warp`.
    share
        Position between the two: 0 is the first, 1 is the second, 0.5 is half-way. Values below 0 or above 1 exaggerate
        the difference (a caricature).

    Returns
    -------
    The blend: see :class:`facestats.composites.results.Composite`. Its standard deviation is the weighted mean of both.

    Raises
    ------
    ValueError
        If the composites differ in size, or one has no landmarks.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> first, second = (
    ...     fs.average_faces(rows, project.crops_dir, method="warp", min_faces=6)
    ...     for rows in (project.faces.head(6), project.faces.tail(6))
    ... )
    >>> fs.composites.morph(first, second, share=0.5)
    Composite(morph, n = 12, 64 x 64 pixels)
    """
    _check_same_size(first, second)
    shape = (1 - share) * _shape(first) + share * _shape(second)
    height, width = first.pixels.shape[:2]
    mesh = build_mesh(shape, (height, width))
    a, b = (warp_face(c.pixels, _shape(c), mesh).astype(np.float64) for c in (first, second))
    sd_a, sd_b = (warp_face(c.sd, _shape(c), mesh) for c in (first, second))
    sd = abs(1 - share) * sd_a + abs(share) * sd_b
    weights = [(1 - share) * w for w in first.weights] + [share * w for w in second.weights]
    settings = {
        "share": share,
        "first": first.caption,
        "second": second.caption,
        "size": first.settings["size"],
    }
    return Composite(
        to_grey_levels((1 - share) * a + share * b),
        sd.astype(np.float32),
        shape,
        first.members + second.members,
        tuple(weights),
        "morph",
        settings,
    )


def mirror(face: Composite) -> Composite:
    """Average a composite with its mirror image, in shape and colour, to make it symmetric.

    Parameters
    ----------
    face
        Composite with landmarks; best made with the method `warp`.

    Returns
    -------
    The symmetric face: see :class:`facestats.composites.results.Composite`.

    Raises
    ------
    ValueError
        If the composite has no landmarks.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> average = fs.average_faces(project.faces, project.crops_dir, method="warp")
    >>> fs.composites.mirror(average)
    Composite(symmetric, n = 12, 64 x 64 pixels)
    """
    height, width = face.pixels.shape[:2]
    shape = _shape(face)
    shape = (shape + mirror_shape(shape, width)) / 2
    mesh = build_mesh(shape, (height, width))
    # the warped picture is mirrored instead of a second warp, so the result is exactly symmetric
    pixels = warp_face(face.pixels, _shape(face), mesh).astype(np.float64)
    sd = warp_face(face.sd, _shape(face), mesh)
    settings = face.settings | {"of": face.method}
    return Composite(
        to_grey_levels((pixels + pixels[:, ::-1]) / 2),
        ((sd + sd[:, ::-1]) / 2).astype(np.float32),
        shape,
        face.members,
        face.weights,
        "symmetric",
        settings,
    )


def sharpness_ratio(face: Composite, other: Composite) -> float:
    """Compare two composites in the sharpness of eyes, nose and mouth.

    Parameters
    ----------
    face, other
        Composites of the same crop size.

    Returns
    -------
    Sharpness of `face` divided by that of `other`; see :attr:`facestats.composites.results.Composite.sharpness`.

    Raises
    ------
    ValueError
        If the composites differ in size.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> average = fs.average_faces(project.faces, project.crops_dir)
    >>> fs.composites.sharpness_ratio(average, average)
    1.0
    """
    _check_same_size(face, other)
    return face.sharpness / other.sharpness


def _shape(face: Composite) -> NDArray[np.float64]:
    if face.shape is None:
        msg = f"{face} has no landmarks. Make it from rows that have the columns landmarks and matrix."
        raise ValueError(msg)
    return face.shape


def _check_same_size(first: Composite, second: Composite) -> None:
    if first.pixels.shape != second.pixels.shape:
        sizes = f"{first.pixels.shape[:2]} and {second.pixels.shape[:2]}"
        msg = f"the two composites differ in size (height, width): {sizes}. Make them from crops of one size."
        raise ValueError(msg)


def _normalised_weights(faces: pl.DataFrame, weights: str | None) -> NDArray[np.float64]:
    """Weight of each face; they sum to one."""
    if weights is None:
        return np.full(faces.height, 1 / faces.height)
    check_columns(faces, weights, made_by="you; the parameter weights is the name of a column")
    values = faces[weights].cast(pl.Float64).to_numpy()
    if not (np.isfinite(values).all() and (values >= 0).all() and values.sum() > 0):
        found = faces[weights].unique()[:5].to_list()
        msg = f"weights must be finite, 0 or more and not all 0; column {weights!r} holds {found}"
        raise ValueError(msg)
    return values / values.sum()
