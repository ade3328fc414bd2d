"""Face shapes: landmarks without position, size and in-plane rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_ITERATIONS = 10


def align_shapes(
    points: NDArray[np.floating], mean: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Align shapes with their mean by translation, scaling and rotation, but never by reflection.

    Generalised Procrustes analysis (Gower 1975, Psychometrika 40:33-51). A point (x, y) is written as the complex
    number x + iy, so that the best rotation and scale is a single complex factor.

    Parameters
    ----------
    points
        (n, points, 2), any unit.
    mean
        Shape to align with, (points, 2), as returned by an earlier call; by default the mean of `points`.

    Returns
    -------
    Aligned shapes, (n, points, 2), in units of the mean's size (root of the sum of squares is one), and the mean.

    Raises
    ------
    ValueError
        If `points` are not shapes, or all points of a shape coincide.
    """
    values = np.asarray(points, dtype=np.float64)
    if values.ndim != 3 or values.shape[2] != 2 or not len(values):
        msg = f"points must have the shape (n, points, 2) with n of at least 1, got {values.shape}"
        raise ValueError(msg)
    z = values[..., 0] + 1j * values[..., 1]
    z -= z.mean(axis=1, keepdims=True)
    size = np.linalg.norm(z, axis=1, keepdims=True)
    if not np.isfinite(size).all() or (size == 0).any():
        msg = (
            f"{int((~(size > 0)).sum())} of {len(z)} shapes have no extent or are not finite. Leave them out."
        )
        raise ValueError(msg)
    z /= size
    if mean is None:
        centre = z[0]
        for _ in range(N_ITERATIONS):
            centre = _align_to(z, centre).mean(axis=0)
            centre /= np.linalg.norm(centre)
    else:
        centre = mean[:, 0] + 1j * mean[:, 1]
    z = _align_to(z, centre)
    return np.stack([z.real, z.imag], axis=-1), np.stack([centre.real, centre.imag], axis=-1)


def _align_to(z: NDArray[np.complex128], centre: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Rotate and scale each unit shape to the least squared distance from `centre`."""
    return z * (z.conj() @ centre)[:, None]
