"""Geometry of faces: similarity transforms, the alignment template, crops and head pose.

Coordinates are in pixels, x to the right and y down, with pixel centres at whole numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

IRISES = (468, 473)  # centres of the left and the right iris in the picture
EYE_CORNERS = ((33, 133), (362, 263))

# Landmarks used for the alignment and their target positions, in fractions of the side of a crop: the eye corners,
# the base of the nose (it moves less than the tip when a head turns or nods) and the mouth corners.
# Source: where the landmarks of the 102 London and 100 3DSK faces (DeBruine and Jones 2017, 2020; CC-BY 4.0) lie on
# average, symmetrised, in crops in which the pupils of London fall on PUPILS.
TEMPLATE = {
    33: (0.3407, 0.4825),
    133: (0.4389, 0.4885),
    362: (0.5611, 0.4885),
    263: (0.6593, 0.4825),
    2: (0.5, 0.6464),
    61: (0.4138, 0.7246),
    291: (0.5862, 0.7246),
}
PUPILS = ((0.5 - 58 / 512, 0.48), (0.5 + 58 / 512, 0.48))
# mean extent of all landmarks of those faces, for faces of which only a box is known
TEMPLATE_BOX = (0.256, 0.294, 0.744, 0.873)

# The symmetrised mean shape of the same faces in three dimensions (generalised Procrustes analysis, Gower 1975), in
# pupil distances, z away from the viewer: only points that no facial expression moves. By this definition the mean
# London and 3DSK face looks straight ahead.
_HEAD = {
    33: (-0.7085, -0.1031, 0.0206),
    133: (-0.2718, -0.0765, -0.0644),
    362: (0.2718, -0.0765, -0.0644),
    263: (0.7085, -0.1031, 0.0206),
    10: (0.0, -0.9506, -0.2574),
    168: (0.0, -0.1741, -0.3287),
    4: (0.0, 0.4167, -0.6879),
    2: (0.0, 0.6312, -0.4083),
    234: (-1.0704, 0.2181, 0.885),
    454: (1.0704, 0.2181, 0.885),
}


def fit_similarity(source: ArrayLike, target: ArrayLike) -> NDArray[np.float64]:
    """Fit the rotation, scale and shift that map points onto others with the least squared error.

    The result is never a reflection. Umeyama (1991), IEEE TPAMI 13:376-380, equations 40 to 42.

    Parameters
    ----------
    source, target
        Corresponding points, (n, 2), n at least 2.

    Returns
    -------
    Matrix (2, 3) float64 for :func:`transform_points`.

    Raises
    ------
    ValueError
        If the shapes differ, or all source points are equal, or a value is not finite.
    """
    a, b = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2 or len(a) < 2:
        msg = f"source and target are (n, 2) points with n of at least 2, got {a.shape} and {b.shape}"
        raise ValueError(msg)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    variance = ((a - mean_a) ** 2).sum() / len(a)
    if not (np.isfinite(variance) and np.isfinite(b).all() and variance > 0):
        msg = "the source points are all the same point or not finite: no similarity can be fitted"
        raise ValueError(msg)
    u, stretch, vt = np.linalg.svd((b - mean_b).T @ (a - mean_a) / len(a))
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    linear = (stretch @ signs) / variance * (u * signs) @ vt
    return np.column_stack([linear, mean_b - linear @ mean_a])


def transform_points(points: ArrayLike, matrix: ArrayLike) -> NDArray[np.float64]:
    """Apply a matrix (2, 3) to points (n, 2), for example to map them from the picture to the crop."""
    m = np.asarray(matrix, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ m[:, :2].T + m[:, 2]


def align_matrix(points: NDArray[np.float32] | None, box: ArrayLike, *, size: int) -> NDArray[np.float64]:
    """Return the matrix (2, 3) float64 from picture to crop, fitted to landmarks or, if these are None, to the box."""
    if points is not None:
        return fit_similarity(points[list(TEMPLATE)], np.array(list(TEMPLATE.values())) * size - 0.5)
    return fit_similarity(_corners(box), _corners(np.array(TEMPLATE_BOX) * size - 0.5))


def crop_face(pixels: NDArray[np.uint8], matrix: ArrayLike, size: int) -> NDArray[np.uint8]:
    """Warp a picture into an aligned crop; the same arguments give the same bits.

    A face larger than the crop is first reduced by a whole factor with an area filter, to avoid aliasing. Where the
    crop extends beyond the picture, the edge pixels are repeated; a mirrored edge could show further eyes.

    Parameters
    ----------
    pixels
        Upright picture, (height, width, 3) uint8.
    matrix
        From picture to crop, (2, 3): the column `matrix` of the table faces.
    size
        Side of the crop in pixels.

    Returns
    -------
    Crop, (size, size, 3) uint8.
    """
    import cv2

    m = np.array(matrix, dtype=np.float64)
    factor = max(1, int(1 / np.sqrt(abs(np.linalg.det(m[:, :2])))))
    if factor > 1:
        pixels, corner = _needed_part(pixels, m, size=size, factor=factor)
        height, width = pixels.shape[0] // factor, pixels.shape[1] // factor
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        # pixel i of the reduced part covers pixels corner + i * factor ... + factor - 1 of the picture
        m[:, 2] += m[:, :2] @ (corner + (factor - 1) / 2)
        m[:, :2] *= factor
    # cubic interpolation improves enlarged faces; reduced ones gain nothing, and it takes three times as long
    flags = cv2.INTER_LINEAR if np.linalg.det(m[:, :2]) < 1 else cv2.INTER_CUBIC
    return cv2.warpAffine(pixels, m, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def head_pose(points: NDArray[np.float32], depth: NDArray[np.float32]) -> tuple[float, float, float]:
    """Measure the pose of a head from landmarks with depth.

    Fits the rotation that maps a mean frontal head onto the face (orthogonal Procrustes; Schoenemann 1966) and
    splits it into roll in the picture, then pitch, then yaw.

    Parameters
    ----------
    points, depth
        Landmarks (478, 2) in pixels and their z (478,), smaller is nearer.

    Returns
    -------
    Yaw, pitch and roll in degrees. Yaw is positive when the nose points to the right of the picture, pitch
    when it points up, roll when the head tilts clockwise in the picture.
    """
    head = np.array(list(_HEAD.values()))
    face = np.column_stack([points, depth])[list(_HEAD)].astype(np.float64)
    u, _, vt = np.linalg.svd((face - face.mean(axis=0)).T @ (head - head.mean(axis=0)))
    r = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))]) @ vt
    yaw, pitch, roll = (
        np.arctan2(r[2, 0], r[2, 2]),
        -np.arcsin(np.clip(r[2, 1], -1, 1)),
        np.arctan2(-r[0, 1], r[1, 1]),
    )
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


def eye_distance(points: NDArray[np.float32]) -> float:
    """Return the distance of the iris centres in pixels; without irises, that of the midpoints of the eye corners."""
    irises = points[list(IRISES)] if len(points) > max(IRISES) else points[np.array(EYE_CORNERS)].mean(axis=1)
    return float(np.linalg.norm(irises[1] - irises[0]))


def _corners(box: ArrayLike) -> NDArray[np.float64]:
    x0, y0, x1, y1 = np.asarray(box, dtype=np.float64)
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def _needed_part(
    pixels: NDArray[np.uint8], matrix: NDArray[np.float64], *, size: int, factor: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the part of the picture that a crop shows, a multiple of `factor` wide and high, and its upper left corner."""
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    shown = transform_points(_corners((0, 0, size - 1, size - 1)), inverse)
    # a margin on all sides for the filter; a crop outside the picture still needs edge pixels to repeat
    limit = np.array(pixels.shape[1::-1]) // factor * factor
    low = np.clip(
        (np.floor(shown.min(axis=0) / factor) - 2) * factor, 0, np.maximum(limit - factor, 0)
    ).astype(int)
    high = np.clip(
        (np.ceil(shown.max(axis=0) / factor) + 2) * factor, low + factor, np.maximum(limit, factor)
    )
    (x0, y0), (x1, y1) = low, high.astype(int)
    return pixels[y0:y1, x0:x1], low.astype(np.float64)
