"""Geometry of faces: landmarks in crops, and the piecewise-affine warp of one face shape onto another.

A mesh is triangulated once per target shape. Each face then costs one sparse product and one remap. Triangles never
fold: if the landmarks of a face would turn a triangle over (closed lips, turned heads), these landmarks are moved
towards the target shape until no triangle is folded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

Value = TypeVar("Value", np.uint8, np.float32)

# The landmarks that are warped: the visible contours (outline, eyes, brows, nose, lips), taken from the connection
# lists of Mediapipe FaceMesh, and the centres of the irises. Points on the cheeks and next to the outline are left
# out, because they cross the outline when a head turns. LEFT is the left side of the picture; RIGHT mirrors it.
MIDLINE = (10, 151, 9, 8, 152, 168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 0, 13, 14, 17)
LEFT = (148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
        7, 33, 133, 144, 145, 153, 154, 155, 157, 158, 159, 160, 161, 163, 173, 246,
        46, 52, 53, 55, 63, 65, 66, 70, 105, 107, 45, 48, 64, 97, 98, 115, 220,
        37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181, 185, 191, 468)  # fmt: skip
RIGHT = (377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356, 389, 251, 284, 332, 297, 338,
         249, 263, 362, 373, 374, 380, 381, 382, 384, 385, 386, 387, 388, 390, 398, 466,
         276, 282, 283, 285, 293, 295, 296, 300, 334, 336, 275, 278, 294, 326, 327, 344, 440,
         267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405, 409, 415, 473)  # fmt: skip
WARPED = MIDLINE + LEFT + RIGHT
# pairs of opposite points on the inner edges of the upper and the lower lip
LIP_PAIRS = (
    (13, 14),
    (82, 87),
    (81, 178),
    (80, 88),
    (191, 95),
    (312, 317),
    (311, 402),
    (310, 318),
    (415, 324),
)
LIP_GAP = 0.004  # smallest distance of a pair as a share of the crop height: on closed lips the points cross by chance
FRAME_POINTS = 6  # points per side of the frame, which fix the border while hair and background move
MARGIN = 2.0  # pixels between the landmarks and the frame
MIN_AREA = 0.01  # smallest area of a triangle as a share of its area in the target shape; 0 would be a line
MAX_ROUNDS = 200


@dataclass(frozen=True)
class Mesh:
    """A triangulated target shape, prepared for warping faces onto it.

    Parameters
    ----------
    vertices
        Target positions in pixels, (n, 2) float64: first the landmarks, then the frame.
    triangles
        Indices into `vertices`, (k, 3), all of positive area.
    areas
        Twice the signed area of each triangle, (k,).
    weights
        Barycentric weights, sparse (height * width, n): position of a pixel = weights times vertices.
    neighbours
        Sparse (n, n) matrix that averages each vertex with its neighbours.
    size
        Height and width in pixels.
    """

    vertices: NDArray[np.float64] = field(repr=False)
    triangles: NDArray[np.int64] = field(repr=False)
    areas: NDArray[np.float64] = field(repr=False)
    weights: csr_matrix = field(repr=False)
    neighbours: csr_matrix = field(repr=False)
    size: tuple[int, int]


def crop_shapes(landmarks: NDArray[np.floating], matrices: NDArray[np.floating]) -> NDArray[np.float64]:
    """Select the landmarks that are warped, and map them from picture pixels to crop pixels.

    Parameters
    ----------
    landmarks
        (n, 478, 2), pixels, x to the right, y down.
    matrices
        (n, 2, 3), affine maps from picture to crop.

    Returns
    -------
    Shapes, (n, len(WARPED), 2), as the other functions take them.
    """
    points = np.asarray(landmarks, dtype=np.float64)[:, list(WARPED)]
    matrices = np.asarray(matrices, dtype=np.float64)
    return points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]


def mirror_shape(shape: NDArray[np.floating], width: int) -> NDArray[np.float64]:
    """Mirror a shape: x is reversed, left and right landmarks are exchanged."""
    middle, side = len(MIDLINE), len(LEFT)
    order = [*range(middle), *range(middle + side, middle + 2 * side), *range(middle, middle + side)]
    return np.asarray(shape, dtype=np.float64)[order] * [-1, 1] + [width - 1, 0]


def build_mesh(shape: NDArray[np.floating], size: tuple[int, int]) -> Mesh:
    """Triangulate a target shape and its frame (Delaunay), and prepare the warp onto it.

    Parameters
    ----------
    shape
        Landmarks in crop pixels, (len(WARPED), 2), as returned by :func:`crop_shapes`.
    size
        Height and width of the crop.
    """
    from scipy.sparse import csr_matrix
    from scipy.spatial import Delaunay

    height, width = size
    vertices = face_vertices(shape, size)
    hull = Delaunay(vertices)
    triangles = hull.simplices.astype(np.int64)
    areas = signed_areas(vertices, triangles)
    triangles[areas < 0] = triangles[areas < 0][:, ::-1]
    keep = np.abs(areas) > 1e-9
    pixels = (
        np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2).astype(np.float64)
    )
    found = hull.find_simplex(pixels, tol=1e-9)
    affine = hull.transform[found]
    first = np.einsum("nij,nj->ni", affine[:, :2], pixels - affine[:, 2])
    barycentric = np.column_stack([first, 1 - first.sum(axis=1)])
    starts = np.arange(0, 3 * len(pixels) + 1, 3)
    weights = csr_matrix(
        (barycentric.ravel(), hull.simplices[found].ravel(), starts), shape=(len(pixels), len(vertices))
    )
    neighbours = _neighbour_mean(triangles, len(vertices))
    return Mesh(vertices, triangles[keep], np.abs(areas)[keep], weights, neighbours, size)


def face_vertices(shape: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float64]:
    """Part the lips, keep the landmarks inside the frame, and append the frame."""
    height, width = size
    points = _part_lips(np.array(shape, dtype=np.float64), LIP_GAP * height)
    points = np.clip(points, MARGIN, np.array([width, height]) - 1 - MARGIN)
    along = np.linspace(0, 1, FRAME_POINTS, endpoint=False)
    # the frame lies one pixel outside, so that every pixel centre lies inside a triangle
    corners = np.array([[-1, -1], [width, -1], [width, height], [-1, height]], dtype=np.float64)
    sides = np.roll(corners, -1, axis=0) - corners
    frame = (corners[:, None] + along[:, None] * sides[:, None]).reshape(-1, 2)
    return np.concatenate([points, frame])


def signed_areas(vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> NDArray[np.float64]:
    """Twice the signed area of each triangle; it is negative if the triangle is folded over."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    u, v = b - a, c - a
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def unfold(vertices: NDArray[np.floating], mesh: Mesh) -> NDArray[np.float64]:
    """Move vertices towards the target until no triangle is folded.

    Each round smooths the displacement around folded triangles, in a region that grows while folds remain. The frame
    does not move, so that the displacement, and with it every fold, vanishes in the limit.
    """
    moved: NDArray[np.float64] = np.asarray(vertices, dtype=np.float64)
    limit = MIN_AREA * mesh.areas
    displacement = moved - mesh.vertices
    active = np.zeros(len(moved), dtype=bool)
    for n_round in range(MAX_ROUNDS):
        folded = signed_areas(moved, mesh.triangles) < limit
        if not folded.any():
            return moved
        active[mesh.triangles[folded]] = True
        if n_round % 8 == 7:
            active |= mesh.neighbours @ active > 0
        active[-4 * FRAME_POINTS :] = False
        displacement[active] = mesh.neighbours[active] @ displacement
        moved = mesh.vertices + displacement
    return mesh.vertices  # a face whose shape cannot be unfolded is averaged without warping


def warp_face(pixels: NDArray[Value], shape: NDArray[np.floating], mesh: Mesh) -> NDArray[Value]:
    """Warp the face in a crop onto the target shape of `mesh`.

    Parameters
    ----------
    pixels
        The crop, (height, width, 3) uint8, or another map of its size, (height, width) float32.
    shape
        Landmarks of the crop in pixels, (len(WARPED), 2).
    mesh
        Target shape, from :func:`build_mesh`.

    Returns
    -------
    The warped pixels, of the same shape and dtype.
    """
    import cv2

    source = unfold(face_vertices(shape, mesh.size), mesh)
    # steps of 1/32 pixel are exact in float32: an unmoved face stays as it is, and the warp of a mirrored face is the
    # mirror image of the warp
    positions = np.rint(mesh.weights @ (32 * source)).astype(np.float32).reshape(*mesh.size, 2)
    positions *= 1 / 32
    return cv2.remap(pixels, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _part_lips(points: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Place each pair of opposite lip points vertically above one another, at least `gap` apart."""
    upper, lower = np.array([[WARPED.index(i) for i in pair] for pair in LIP_PAIRS]).T
    middle = (points[upper] + points[lower]) / 2
    half = np.maximum(points[lower, 1] - points[upper, 1], gap) / 2
    points[upper] = points[lower] = middle
    points[upper, 1] -= half
    points[lower, 1] += half
    return points


def _neighbour_mean(triangles: NDArray[np.integer], n: int) -> csr_matrix:
    """Sparse matrix that averages each vertex with its neighbours."""
    from scipy.sparse import coo_matrix, diags, eye

    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    links = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(n, n)).tocsr()
    links = ((links + links.T) > 0).astype(np.float64) + eye(n)
    return (diags(1 / np.asarray(links.sum(axis=1)).ravel()) @ links).tocsr()
