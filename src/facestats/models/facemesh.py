"""The networks of Mediapipe, run by LiteRT: a face detector, a face mesh, and the irises.

The networks are those of two publications of Google (Apache-2.0): the three of mediapipe 0.10.21 (BlazeFace, Bazarevsky
et al. 2019; mesh, Kartynnik et al. 2019; irises, Ablavatski et al. 2020), or the Face Landmarker, whose mesh has the
irises. LiteRT reads them without the package mediapipe. It starts no threads here and opens no connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.core.protocols import ModelError
from facestats.models import expressions
from facestats.models.runtime import discard_standard_error
from facestats.pictures.geometry import transform_points

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

_DETECTOR_SIDE, _IRIS_SIDE = 128, 64  # pixels of a network's input
_SAME_FACE = 0.3  # least overlap (intersection over union) of two boxes of one face
_FACE_MARGIN = 1.5  # side of the region that the mesh sees, in longer sides of the detector's box
_EYE_MARGIN = 2.3  # side of the region that the iris network sees, in distances of the eye corners
_MIN_PRESENCE = 0.5  # below it, the mesh says that its region holds no face
_N_MESH = 468  # points without irises
# outer and inner corner, upper and lower lid of the left and the right eye in the picture
_EYES = ((33, 133, 159, 145), (263, 362, 386, 374))
_UNIT_SQUARE = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
_IRIS_ORDERS = ([0, 1, 2, 3, 4], [0, 3, 2, 1, 4])  # the network sees the right eye mirrored


class Graph:
    """Detector, mesh and irises for one process; the networks are read by the first picture.

    Parameters
    ----------
    read
        Returns the content of the files, by their names.
    min_confidence
        Lowest score of the detector, 0 to 1.
    max_faces
        Highest number of faces in one picture.
    """

    def __init__(
        self, read: Callable[[], Mapping[str, bytes]], *, min_confidence: float, max_faces: int
    ) -> None:
        self.min_confidence, self.max_faces = min_confidence, max_faces
        self._read = read
        self._networks: dict[str, _Network] = {}

    def process(self, pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.float64], float]]:
        """Return the landmarks (478, 3) in pixels and the score of each face."""
        if not self._networks:
            self._networks = {name: _Network(name, content) for name, content in self._read().items()}
        boxes, scores = self._detect(pixels)
        meshes = [
            (self._mesh(pixels, _face_region(box)), score) for box, score in zip(boxes, scores, strict=True)
        ]
        return [(points, float(score)) for points, score in meshes if points is not None]

    def expressions(self, points: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """Return the 52 scores of the facial expression (`expressions.NAMES`) of one face; None without their network."""
        network = self._networks.get("expressions")
        if network is None:
            return None
        (scores,) = network(points[list(expressions.POINTS), :2].astype(np.float32))
        return scores.ravel()

    def close(self) -> None:
        """Free the networks."""
        self._networks = {}

    def _detect(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return two corners and six points of each face, (n, 8, 2) in pixels, and the scores, the best first."""
        picture, scale = _fit_square(pixels)
        values, logits = self._networks["detector"](picture / np.float32(127.5) - 1)
        scores = _sigmoid(logits.ravel())
        likely = np.flatnonzero(scores >= self.min_confidence)
        likely = likely[np.argsort(-scores[likely], kind="stable")]
        raw = values.reshape(-1, 8, 2)[likely].astype(np.float64) / _DETECTOR_SIDE
        centres = raw[:, :1] + _ANCHORS[likely, None]
        corners = centres + raw[:, 1:2] * np.array([[-0.5], [0.5]])
        points = np.concatenate([corners, raw[:, 2:] + _ANCHORS[likely, None]], axis=1)
        faces, best = _merge_boxes(points, scores[likely], limit=self.max_faces)
        return faces * _DETECTOR_SIDE * scale - 0.5, best

    def _mesh(self, pixels: NDArray[np.uint8], region: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """Return the landmarks (478, 3) of the face in a region, None if there is none."""
        network = self._networks["mesh"]
        outputs = network(_look(pixels, region, network.side))
        # the flag of the face is the first output with one number; the official mesh has a second one
        flag = next(out for out in outputs if out.size == 1)
        if _sigmoid(flag.ravel())[0] < _MIN_PRESENCE:
            return None
        raw = max(outputs, key=np.size).reshape(-1, 3).astype(np.float64) / network.side
        points = _to_picture(raw, region)
        return points if len(points) > _N_MESH else np.vstack([points, *self._irises(pixels, points)])

    def _irises(self, pixels: NDArray[np.uint8], points: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return the five points of each iris, (5, 3): its centre, and its right, upper, left and lower edge."""
        found = []
        for eye, order in zip(_EYES, _IRIS_ORDERS, strict=True):
            outer, inner = points[list(eye[:2]), :2]
            region = _eye_region(outer, inner, mirrored=eye is _EYES[1])
            outputs = self._networks["iris"](_look(pixels, region, _IRIS_SIDE))
            raw = min(outputs, key=np.size).reshape(5, 3)[order].astype(np.float64) / _IRIS_SIDE
            iris = _to_picture(raw, region)
            iris[:, 2] = points[list(eye), 2].mean()  # the depth of the network is that of its own
            found.append(iris)
        return found


class _Network:
    """A TFLite network with one input, on one thread; outputs are in the order of the file."""

    def __init__(self, name: str, content: bytes) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            msg = f"no face can be found without LiteRT ({error}). Type: pip install ai-edge-litert"
            raise ModelError(msg) from error
        try:
            with discard_standard_error():  # it tells which processor it uses
                self._run: Any = Interpreter(model_content=content, num_threads=1)
                self._run.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            msg = f"LiteRT cannot read the network {name!r} of the landmarker: {error}. Take the file from its source again."
            raise ModelError(msg) from error
        details = self._run.get_input_details()[0]
        self._input, self.side = details["index"], int(details["shape"][1])
        self._outputs = [out["index"] for out in self._run.get_output_details()]

    def __call__(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        self._run.set_tensor(self._input, values[None])
        self._run.invoke()
        return [self._run.get_tensor(out) for out in self._outputs]


def _anchors() -> NDArray[np.float64]:
    """Centres of the detector's cells in fractions of its input: 16 x 16, two each, and 8 x 8, six each."""
    cells = []
    for n, repeats in ((16, 2), (8, 6)):
        steps = (np.arange(n) + 0.5) / n
        cells.append(np.repeat(np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2), repeats, axis=0))
    return np.concatenate(cells)


_ANCHORS = _anchors()


def _sigmoid(x: NDArray[np.float32]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(x.astype(np.float64), -100, 100)))


def _fit_square(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Reduce a picture to the detector's input, with a black band below or beside it; also return the scale, x and y.

    It is halved as long as it is more than three times as large, against noise, and then sampled. In the softer result
    of a full area filter, small faces have lower scores.
    """
    import cv2

    steps = max(0, int(np.ceil(np.log2(max(pixels.shape) / (3 * _DETECTOR_SIDE)))))
    pixels = _halve(pixels, steps)
    height, width = pixels.shape[:2]
    size = [max(1, round(n * _DETECTOR_SIDE / max(height, width))) for n in (width, height)]
    square = np.zeros((_DETECTOR_SIDE, _DETECTOR_SIDE, 3), dtype=np.float32)
    square[: size[1], : size[0]] = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    return square, np.array([width, height]) / size * 2**steps


def _halve(pixels: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    """Halve both sides of a picture repeatedly by averaging, which is much faster than other whole factors."""
    import cv2

    for _ in range(times):
        height, width = (max(1, n // 2) for n in pixels.shape[:2])
        pixels = cv2.resize(pixels[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return pixels


def _merge_boxes(
    points: NDArray[np.float64], scores: NDArray[np.float64], *, limit: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Average the boxes of each face by their scores (Bazarevsky et al. 2019); the best comes first."""
    faces, best = np.empty((limit, *points.shape[1:])), np.empty(limit)
    n = 0
    while len(points) and n < limit:
        same = _overlaps(points[0], points) > _SAME_FACE
        same[0] = True  # also a box without area
        faces[n], best[n] = np.average(points[same], axis=0, weights=scores[same]), scores[0]
        points, scores, n = points[~same], scores[~same], n + 1
    return faces[:n], best[:n]


def _overlaps(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intersections over union of one box and others; a box is its first two points."""
    sides = np.minimum(one[1], others[:, 1]) - np.maximum(one[0], others[:, 0])
    both = np.clip(sides, 0, None).prod(axis=1)
    union = (one[1] - one[0]).prod() + (others[:, 1] - others[:, 0]).prod(axis=1) - both
    return both / np.maximum(union, np.finfo(float).tiny)


def _face_region(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the region that the mesh sees: the detector's box with a margin, turned until the eyes are level."""
    corners, eyes = points[:2], points[2:4]
    return _region(
        corners.mean(axis=0), eyes[1] - eyes[0], side=_FACE_MARGIN * (corners[1] - corners[0]).max()
    )


def _eye_region(
    outer: NDArray[np.float64], inner: NDArray[np.float64], *, mirrored: bool
) -> NDArray[np.float64]:
    """Return the region that the iris network sees; it knows left eyes, so the right one is mirrored."""
    across = inner - outer
    region = _region(
        (outer + inner) / 2, -across if mirrored else across, side=_EYE_MARGIN * np.hypot(*across)
    )
    if mirrored:
        region[:, 2] += region[:, 0]
        region[:, 0] *= -1
    return region


def _region(centre: NDArray[np.float64], along: NDArray[np.float64], *, side: float) -> NDArray[np.float64]:
    """Return the matrix (2, 3) from fractions of a square to pixels of the picture; its x axis runs `along`."""
    x, y = along / max(np.hypot(*along), np.finfo(float).tiny) * side
    axes = np.array([[x, -y], [y, x]])
    return np.column_stack([axes, centre - axes.sum(axis=1) / 2])


def _look(pixels: NDArray[np.uint8], region: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    """Sample a region of the picture as the input of a network, 0 to 1.

    A region that is larger than the input is halved first, as often as possible, to avoid aliasing. Outside the picture,
    its edge pixels are repeated.
    """
    import cv2

    steps = max(0, int(np.log2(max(np.hypot(*region[:, 1]) / side, 1))))
    part, corner = _cut(pixels, region, margin=2**steps)
    part = _halve(part, steps)
    # from pixels of the input to those of the part; pixel centres are whole numbers in both
    axes = region[:, :2] / side / 2**steps
    shift = (region[:, 2] - corner + 0.5) / 2**steps - 0.5 + axes.sum(axis=1) / 2
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    view = cv2.warpAffine(
        part, np.column_stack([axes, shift]), (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return view.astype(np.float32) / np.float32(255)


def _cut(
    pixels: NDArray[np.uint8], region: NDArray[np.float64], *, margin: int
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the part of the picture that shows a region, never empty, and its upper left corner."""
    corners = transform_points(_UNIT_SQUARE, region)
    last = np.array(pixels.shape[1::-1]) - 1
    low = np.clip(np.floor(corners.min(axis=0)) - margin, 0, last).astype(int)
    high = np.clip(np.ceil(corners.max(axis=0)) + 2 * margin, low + 1, last + 1).astype(int)
    return pixels[low[1] : high[1], low[0] : high[0]], low.astype(np.float64)


def _to_picture(points: NDArray[np.float64], region: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points (n, 3) in fractions of a region to pixels of the picture; z has the scale of x."""
    return np.column_stack([transform_points(points[:, :2], region), points[:, 2] * np.hypot(*region[:, 0])])
