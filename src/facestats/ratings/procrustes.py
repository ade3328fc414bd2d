"""Face shapes: landmarks freed of place, size and roll."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 10


def align_shapes(
    points: NDArray[np.floating], mean: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lay shapes over their mean by shift, scale and rotation, never a reflection.

    Generalised Procrustes analysis (Gower 1975, Psychometrika 40:33-51); a point x, y is the complex number
    x + iy, so that the best rotation and scale is one complex factor.

    Parameters
    ----------
    points
        (n, points, 2), any unit.
    mean
        Shape to lay them over, (points, 2), as an earlier call returned it; by default their own mean.

    Returns
    -------
    Aligned shapes, (n, points, 2), in units of the mean's size (root of the sum of squares is one), and the mean.

    Raises
    ------
    ValueError
        If `points` are not shapes, or all points of one are the same.
    """
    values = np.asarray(points, dtype=np.float64)
    if values.ndim != 3 or values.shape[2] != 2 or not len(values):
        msg = f"points are (n, points, 2) with n of at least 1, got {values.shape}"
        raise ValueError(msg)
    z = values[..., 0] + 1j * values[..., 1]
    z -= z.mean(axis=1, keepdims=True)
    size = np.linalg.norm(z, axis=1, keepdims=True)
    if not np.isfinite(size).all() or (size == 0).any():
        msg = (
            f"{int((~(size > 0)).sum())} of {len(z)} shapes have no extent or are not finite; leave them out"
        )
        raise ValueError(msg)
    z /= size
    if mean is None:
        centre = z[0]
        for _ in range(ROUNDS):
            centre = _lay_over(z, centre).mean(axis=0)
            centre /= np.linalg.norm(centre)
    else:
        centre = mean[:, 0] + 1j * mean[:, 1]
    z = _lay_over(z, centre)
    return np.stack([z.real, z.imag], axis=-1), np.stack([centre.real, centre.imag], axis=-1)


def _lay_over(z: NDArray[np.complex128], centre: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Turn and scale each unit shape so that its squared distance to `centre` is least."""
    return z * (z.conj() @ centre)[:, None]
