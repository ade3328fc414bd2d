"""Mediapipe FaceMesh: 478 landmarks of every face in a picture, small and turned faces included.

Three facts, each measured, shape this module. The face detector inside sees faces wider than an eighth of
its input, so a picture without a face is searched again in tiles. On a face that stands on its head it fires
too, and the landmarks are then far off; its score tells (upright 0.87 and more, upside down 0.82 and less),
so an unsure find is compared with those in the turned picture. And it fires on rings and icons, but what it
finds there looks different in a mirror, so an unsure find is looked at again, mirrored.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from facestats.core.protocols import Face, Landmarker
from facestats.models import haar as cascades
from facestats.models.facemesh import Graph, mediapipe_version, weights_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facestats.core.config import FacesSettings

_VIEW_SIDE = 1024  # a longer side is reduced by whole factors: the graph samples without a filter
_SURE = 0.85  # score above which a face stands upright
_RETRY_SCORE = 0.8  # least score of a find in a second look: patterns and icons reach 0.78
_TURN_GAIN = 0.05  # by how much a turned view must beat the upright one
_MIRROR_ERROR = 0.2  # eye distances: unsure faces agree with their mirror image to 0.04, patterns do not
_ZOOMS = (2, 5)  # tiles of 1/2 and 1/5 of the long side: faces down to 1/40 of it
_MIN_TILE = 160  # pixels; a tile this small shows faces of 20 pixels
_SAME_FACE = 0.3  # overlap (intersection over union) of two boxes of one face
# landmarks to compare in a mirror, and their counterparts
_SIDES = [33, 133, 61, 2, 10, 152, 468, 263, 362, 291, 473]
_MIRRORED = [263, 362, 291, 2, 10, 152, 473, 33, 133, 61, 468]
_ROTATIONS = (None, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_CLOCKWISE)

_graphs: dict[tuple[int, float, int], Graph] = {}
_lock = threading.Lock()


class FaceMesh:
    """Finds faces with Mediapipe FaceMesh; implements `core.protocols.Landmarker`.

    A light handle: the graph is made on first use, once per process, and does not pickle.

    Parameters
    ----------
    min_confidence
        Lowest score of the detector, 0 to 1.
    max_faces
        Most faces to look for in one picture.
    second_detector
        `opencv` looks again, with the Haar cascades that OpenCV ships, where FaceMesh finds nothing;
        `none` does not.
    """

    def __init__(
        self, *, min_confidence: float = 0.5, max_faces: int = 10, second_detector: str = "none"
    ) -> None:
        if second_detector not in {"none", "opencv"}:
            msg = f"second_detector is 'none' or 'opencv', got {second_detector!r}"
            raise ValueError(msg)
        self.min_confidence = min_confidence
        self.max_faces = max_faces
        self.second_detector = second_detector
        self._version = f"facemesh {mediapipe_version()}"
        second = f" + {cascades.NAME}" if second_detector == "opencv" else ""
        self.name = (
            f"{self._version}{second} 478 refined confidence={min_confidence:g} faces={max_faces} "
            f"zooms={','.join(map(str, _ZOOMS))} weights={weights_hash()}"
        )

    def find(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Return the faces in an upright RGB picture, largest first; see `core.protocols.Landmarker`."""
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            msg = f"expected RGB pixels, (height, width, 3) uint8; got {pixels.shape} {pixels.dtype}"
            raise ValueError(msg)
        with _lock:
            faces = self._search(pixels)
            if not faces and self.second_detector == "opencv":
                faces = self._search_cascades(pixels)
        return faces[: self.max_faces]

    def _search(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Look at the whole picture, then turned, then in ever smaller tiles, until a face is found."""
        height, width = pixels.shape[:2]
        whole = _View(0, 0, width, height)
        faces = self._look(pixels, whole, "")
        if not _sure(faces):
            faces = self._confirmed(pixels, self._look_turned(pixels, whole, "", faces))
        for zoom in _ZOOMS:
            if faces:
                break
            # the best tile of each face; a face cut by the edge of a tile is whole in its neighbour
            seen = [f for v in _tiles(width, height, zoom) for f in self._look_closer(pixels, v, zoom)]
            faces = self._confirmed(pixels, _distinct(seen))
        return sorted(faces, key=_area, reverse=True)

    def _look_turned(
        self, pixels: NDArray[np.uint8], view: _View, how: str, upright: list[Face]
    ) -> list[Face]:
        """Faces in the quarter turn of a view that shows them best; `upright` unless one is clearly better."""
        best = upright
        floor = max(_RETRY_SCORE, _best_score(upright) + _TURN_GAIN)
        for turns in (1, 3, 2):
            found = self._look(pixels, view._replace(turns=turns), f"{how} turned {90 * turns}".strip())
            if _best_score(found) > floor:
                best, floor = [f for f in found if f.score >= _RETRY_SCORE], _best_score(found)
        return best

    def _look_closer(self, pixels: NDArray[np.uint8], view: _View, zoom: int) -> list[Face]:
        """Faces in a tile, turned where something unlikely was seen."""
        found = self._look(pixels, view, f"zoom {zoom}")
        if found and not _sure(found):
            found = self._look_turned(pixels, view, f"zoom {zoom}", found)
        return [f for f in found if f.score >= _RETRY_SCORE]

    def _confirmed(self, pixels: NDArray[np.uint8], faces: list[Face]) -> list[Face]:
        """Faces that are sure, or whose surroundings show the same face in a mirror."""
        return [f for f in faces if f.score >= _SURE or self._mirrors(pixels, f)]

    def _mirrors(self, pixels: NDArray[np.uint8], face: Face) -> bool:
        if face.points is None:
            return True
        across = face.points[263] - face.points[33]
        turns = round(np.degrees(np.arctan2(across[1], across[0])) / 90) % 4
        view = _around(face.box, pixels.shape)._replace(turns=turns, mirror=True)
        limit = _MIRROR_ERROR * np.linalg.norm(face.points[473] - face.points[468])
        return any(
            np.linalg.norm(other.points[_MIRRORED] - face.points[_SIDES], axis=1).mean() < limit
            for other in self._look(pixels, view, "mirror")
            if other.points is not None
        )

    def _look(self, pixels: NDArray[np.uint8], view: _View, how: str) -> list[Face]:
        """Faces that the graph finds in one view, in coordinates of the picture."""
        part, factor = view.cut(pixels)
        key = (os.getpid(), self.min_confidence, self.max_faces)  # the process: never across a fork
        if key not in _graphs:
            _graphs[key] = Graph(self.min_confidence, self.max_faces)
        try:
            found = _graphs[key].process(part)
        except BaseException:
            _graphs.pop(key).close()
            raise
        detector = f"{self._version} ({how})" if how else self._version
        faces = []
        for mesh, score in found:
            points = view.back(mesh[:, :2], factor).astype(np.float32)
            depth = (mesh[:, 2] * factor).astype(np.float32)
            faces.append(Face(points, depth, _extent(points), score, detector))
        return faces

    def _search_cascades(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Let FaceMesh look at what the cascades propose; where two agree, a box is a face without landmarks."""
        faces = []
        for box, votes in cascades.propose_boxes(pixels):
            view = _around(box, pixels.shape)
            found = self._look(pixels, view, cascades.NAME)
            if not _sure(found):
                found = self._look_turned(pixels, view, cascades.NAME, found)
            agreed = [f for f in found if cascades.overlap(f.box, box) >= _SAME_FACE]
            if agreed:
                faces.append(max(agreed, key=lambda f: f.score))
            elif votes > 1:
                faces.append(Face(None, None, box, float("nan"), cascades.NAME))
        return sorted(_distinct(faces), key=_area, reverse=True)


def landmarker(settings: FacesSettings) -> Landmarker:
    """Return the landmark model that `settings` ask for.

    Parameters
    ----------
    settings
        `min_confidence`, `max_faces` and `second_detector` are used.
    """
    return FaceMesh(
        min_confidence=settings.min_confidence,
        max_faces=settings.max_faces,
        second_detector=settings.second_detector,
    )


class _View(NamedTuple):
    """A window of the picture, turned counter-clockwise by quarter turns, then perhaps mirrored."""

    left: int
    top: int
    right: int
    bottom: int
    turns: int = 0
    mirror: bool = False

    def cut(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
        """Pixels of the view and the whole factor they are reduced by."""
        part = pixels[self.top : self.bottom, self.left : self.right]
        factor = max(1, max(part.shape) // _VIEW_SIDE)
        if factor > 1:
            height, width = (max(1, n // factor) for n in part.shape[:2])
            part = part[: height * factor, : width * factor]
            part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
        if self.turns:
            part = cv2.rotate(part, _ROTATIONS[self.turns])
        return np.ascontiguousarray(part[:, ::-1] if self.mirror else part), factor

    def back(self, points: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
        """Carry points from the pixels of the view to those of the picture; pixel centres are whole numbers."""
        sides = [(self.right - self.left) // factor, (self.bottom - self.top) // factor]
        if self.mirror:
            points = np.stack([sides[self.turns % 2] - 1 - points[:, 0], points[:, 1]], axis=1)
        for turn in range(self.turns):
            before = sides[(self.turns - 1 - turn) % 2]  # width of the part before the turn that is undone
            points = np.stack([before - 1 - points[:, 1], points[:, 0]], axis=1)
        return (points + 0.5) * factor - 0.5 + (self.left, self.top)


def _tiles(width: int, height: int, zoom: int) -> list[_View]:
    """Square windows of 1/zoom of the long side that overlap by half."""
    side = max(max(width, height) // zoom, _MIN_TILE)
    if side >= max(width, height):
        return []
    lefts, tops = _starts(width, side), _starts(height, side)
    return [_View(x, y, min(x + side, width), min(y + side, height)) for y in tops for x in lefts]


def _starts(length: int, side: int) -> list[int]:
    steps = max(0, int(np.ceil((length - side) / (side / 2))))
    return sorted({round(i * (length - side) / steps) for i in range(steps + 1)}) if steps else [0]


def _extent(points: NDArray[np.float32]) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _best_score(faces: list[Face]) -> float:
    return max((f.score for f in faces), default=0.0)


def _sure(faces: list[Face]) -> bool:
    """Whether the best of the faces stands upright beyond doubt."""
    return _best_score(faces) >= _SURE


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _distinct(faces: list[Face]) -> list[Face]:
    """Keep the best of faces that overlap."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -1.0 if np.isnan(f.score) else f.score, reverse=True):
        if all(cascades.overlap(face.box, other.box) < _SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _around(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> _View:
    """The box with half its longer side added all round, inside the picture."""
    x0, y0, x1, y1 = box
    pad = max(x1 - x0, y1 - y0) / 2
    left, top = max(0, int(x0 - pad)), max(0, int(y0 - pad))
    return _View(left, top, min(shape[1], int(x1 + pad)), min(shape[0], int(y1 + pad)))
