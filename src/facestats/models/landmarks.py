"""Mediapipe FaceMesh: 478 landmarks of every face in a picture, small and turned faces included.

Three measured properties of its face detector decide what this module does. It finds faces wider than an eighth of
its input, so a picture without a face is searched again in tiles. It also responds to a face that is upside down,
with wrong landmarks and a lower score (upright 0.87 and more, upside down 0.82 and less), so a detection with a low
score is compared with those in the turned picture. It responds to rings and icons too, but with other landmarks in
their mirror image, so a detection with a low score is repeated on the mirrored picture.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from facestats.core.protocols import Face, Landmarker
from facestats.models import haar
from facestats.models.facemesh import Graph, mediapipe_version, weights_hash
from facestats.models.runtime import describe_handle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facestats.core.config import FacesSettings

_VIEW_SIDE = 1024  # pixels; longer sides are reduced by whole factors: the graph samples without a filter
_SURE = 0.85  # least score at which a face is certainly upright
_MIN_RETRY_SCORE = 0.8  # least score of a detection in a tile or turned view: patterns and icons reach 0.78
_MIN_TURN_GAIN = 0.05  # by how much the score of a turned view must exceed that of the upright one
_MAX_MIRROR_ERROR = 0.2  # eye distances: real faces agree with their mirror image to 0.04, patterns do not
_ZOOMS = (2, 5)  # tiles of 1/2 and 1/5 of the long side: they show faces down to 1/40 of it
_MIN_TILE = 160  # pixels; a tile of this side shows faces of 20 pixels
_SAME_FACE = 0.3  # least overlap (intersection over union) of two boxes of one face
# landmarks to compare with the mirror image, and their counterparts there
_SIDES = [33, 133, 61, 2, 10, 152, 468, 263, 362, 291, 473]
_MIRRORED = [263, 362, 291, 2, 10, 152, 473, 33, 133, 61, 468]
_ROTATIONS = (None, 2, 1, 0)  # of OpenCV: none, 90 degrees counterclockwise, 180, 90 clockwise

_graphs: dict[tuple[int, float, int], Graph] = {}
_lock = threading.Lock()


class FaceMesh:
    """Find faces with Mediapipe FaceMesh (protocol `Landmarker`).

    A light handle: the graph is made at the first use, once per process for equal settings, and is not pickled.

    Parameters
    ----------
    min_confidence
        Lowest score of the detector, 0 to 1.
    max_faces
        Highest number of faces to find in one picture.
    second_detector
        ``opencv`` searches pictures in which FaceMesh finds nothing with the Haar cascades of OpenCV (Viola and
        Jones 2001); ``none`` does not.

    Raises
    ------
    ValueError
        If `second_detector` is neither.
    ModelError
        If mediapipe is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import facestats as fs
    >>> mesh = fs.models.FaceMesh(min_confidence=0.6)
    >>> mesh.name.partition(" weights=")[0]
    'facemesh 0.10.21 478 refined confidence=0.6 faces=10 zooms=2,5'
    """

    def __init__(
        self, *, min_confidence: float = 0.5, max_faces: int = 10, second_detector: str = "none"
    ) -> None:
        if second_detector not in {"none", "opencv"}:
            msg = f"second_detector must be 'none' or 'opencv', got {second_detector!r}"
            raise ValueError(msg)
        self.min_confidence = min_confidence
        self.max_faces = max_faces
        self.second_detector = second_detector
        self._version = f"facemesh {mediapipe_version()}"
        second = f" + {haar.name()}" if second_detector == "opencv" else ""
        self.name = (
            f"{self._version}{second} 478 refined confidence={min_confidence:g} faces={max_faces} "
            f"zooms={','.join(map(str, _ZOOMS))} weights={weights_hash()}"
        )

    def __repr__(self) -> str:
        return describe_handle(self, model=self._version, device="cpu", loaded=self._graph_key() in _graphs)

    def find(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Find the faces in a picture.

        Parameters
        ----------
        pixels
            An upright RGB picture, (height, width, 3) uint8.

        Returns
        -------
        Faces in pixels of the picture, the largest first; an empty list if there is none.

        Raises
        ------
        ValueError
            If `pixels` are no RGB picture.
        """
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            msg = (
                "expected RGB pixels, (height, width, 3) uint8;"
                f" got {pixels.shape} {pixels.dtype}. Convert the picture: np.asarray(image.convert('RGB'))."
            )
            raise ValueError(msg)
        with _lock:
            faces = self._search(pixels)
            if not faces and self.second_detector == "opencv":
                faces = self._search_with_cascades(pixels)
        return faces[: self.max_faces]

    def _search(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Search the whole picture, then turn it, then search ever smaller tiles, until a face is found."""
        height, width = pixels.shape[:2]
        whole = _View(0, 0, width, height)
        faces = self._detect(pixels, whole, "")
        if not _is_sure(faces):
            faces = self._keep_confirmed(pixels, self._detect_turned(pixels, whole, "", faces))
        for zoom in _ZOOMS:
            if faces:
                break
            # a face that the edge of one tile cuts is whole in the next one, where it has a higher score
            found = [f for v in _tiles(width, height, zoom) for f in self._detect_in_tile(pixels, v, zoom)]
            faces = self._keep_confirmed(pixels, _drop_overlapping(found))
        return sorted(faces, key=_area, reverse=True)

    def _detect_turned(
        self, pixels: NDArray[np.uint8], view: _View, how: str, upright: list[Face]
    ) -> list[Face]:
        """Return the faces in the quarter turn of a view with the best scores; `upright` unless one is clearly better."""
        best = upright
        floor = max(_MIN_RETRY_SCORE, _highest_score(upright) + _MIN_TURN_GAIN)
        for turns in (1, 3, 2):
            found = self._detect(pixels, view._replace(turns=turns), f"{how} turned {90 * turns}".strip())
            if _highest_score(found) > floor:
                best, floor = [f for f in found if f.score >= _MIN_RETRY_SCORE], _highest_score(found)
        return best

    def _detect_in_tile(self, pixels: NDArray[np.uint8], view: _View, zoom: int) -> list[Face]:
        """Return the faces in a tile; a detection with a low score is repeated in turned views."""
        found = self._detect(pixels, view, f"zoom {zoom}")
        if found and not _is_sure(found):
            found = self._detect_turned(pixels, view, f"zoom {zoom}", found)
        return [f for f in found if f.score >= _MIN_RETRY_SCORE]

    def _keep_confirmed(self, pixels: NDArray[np.uint8], faces: list[Face]) -> list[Face]:
        """Keep faces with a high score, and those that are found again in the mirror image."""
        return [f for f in faces if f.score >= _SURE or self._agrees_with_mirror_image(pixels, f)]

    def _agrees_with_mirror_image(self, pixels: NDArray[np.uint8], face: Face) -> bool:
        if face.points is None:
            return True
        across = face.points[263] - face.points[33]
        turns = round(np.degrees(np.arctan2(across[1], across[0])) / 90) % 4
        view = _view_around(face.box, pixels.shape)._replace(turns=turns, mirror=True)
        limit = _MAX_MIRROR_ERROR * np.linalg.norm(face.points[473] - face.points[468])
        return any(
            np.linalg.norm(other.points[_MIRRORED] - face.points[_SIDES], axis=1).mean() < limit
            for other in self._detect(pixels, view, "mirror")
            if other.points is not None
        )

    def _detect(self, pixels: NDArray[np.uint8], view: _View, how: str) -> list[Face]:
        """Return the faces that the graph finds in one view, in coordinates of the picture."""
        part, factor = view.cut(pixels)
        key = self._graph_key()
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
            points = view.to_picture(mesh[:, :2], factor).astype(np.float32)
            depth = (mesh[:, 2] * factor).astype(np.float32)
            faces.append(Face(points, depth, _bounding_box(points), score, detector))
        return faces

    def _graph_key(self) -> tuple[int, float, int]:
        # the process is part of it, because a graph does not survive a fork
        return os.getpid(), self.min_confidence, self.max_faces

    def _search_with_cascades(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Search what the cascades propose; where FaceMesh fails but two cascades agree, return the box alone."""
        faces = []
        for box, votes in haar.propose_boxes(pixels):
            view = _view_around(box, pixels.shape)
            found = self._detect(pixels, view, haar.name())
            if not _is_sure(found):
                found = self._detect_turned(pixels, view, haar.name(), found)
            agreed = [f for f in found if haar.overlap(f.box, box) >= _SAME_FACE]
            if agreed:
                faces.append(max(agreed, key=lambda f: f.score))
            elif votes > 1:
                faces.append(Face(None, None, box, float("nan"), haar.name()))
        return sorted(_drop_overlapping(faces), key=_area, reverse=True)


def landmarker(settings: FacesSettings) -> Landmarker:
    """Make a handle on the landmark model; its graph is started by the first picture.

    Until the first face is found, the standard error of the whole process is discarded while a picture is searched,
    because the threads of Mediapipe write start-up messages to it. The graph is kept until the process ends.

    Parameters
    ----------
    settings
        `min_confidence`, `max_faces` and `second_detector` are used.

    Returns
    -------
    A handle for :func:`facestats.align_faces`.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import FacesSettings
    >>> fs.models.landmarker(FacesSettings(max_faces=3))
    FaceMesh(model='facemesh 0.10.21', device='cpu', loaded=False)
    """
    return FaceMesh(
        min_confidence=settings.min_confidence,
        max_faces=settings.max_faces,
        second_detector=settings.second_detector,
    )


class _View(NamedTuple):
    """A window of the picture, turned counter-clockwise by quarter turns, then mirrored if `mirror`."""

    left: int
    top: int
    right: int
    bottom: int
    turns: int = 0
    mirror: bool = False

    def cut(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
        """Return the pixels of the view, and the whole factor by which they are reduced."""
        import cv2

        part = pixels[self.top : self.bottom, self.left : self.right]
        factor = max(1, max(part.shape) // _VIEW_SIDE)
        if factor > 1:
            height, width = (max(1, n // factor) for n in part.shape[:2])
            part = part[: height * factor, : width * factor]
            part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
        if self.turns:
            part = cv2.rotate(part, _ROTATIONS[self.turns])
        return np.ascontiguousarray(part[:, ::-1] if self.mirror else part), factor

    def to_picture(self, points: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
        """Transform points from the view to the picture, in pixels; pixel centres are whole numbers."""
        sides = [(self.right - self.left) // factor, (self.bottom - self.top) // factor]
        if self.mirror:
            points = np.stack([sides[self.turns % 2] - 1 - points[:, 0], points[:, 1]], axis=1)
        for turn in range(self.turns):
            before = sides[(self.turns - 1 - turn) % 2]  # width of the view before the turn that is undone
            points = np.stack([before - 1 - points[:, 1], points[:, 0]], axis=1)
        return (points + 0.5) * factor - 0.5 + (self.left, self.top)


def _tiles(width: int, height: int, zoom: int) -> list[_View]:
    """Return square windows of 1/zoom of the long side; neighbours overlap by half."""
    side = max(max(width, height) // zoom, _MIN_TILE)
    if side >= max(width, height):
        return []
    lefts, tops = _starts(width, side), _starts(height, side)
    return [_View(x, y, min(x + side, width), min(y + side, height)) for y in tops for x in lefts]


def _starts(length: int, side: int) -> list[int]:
    steps = max(0, int(np.ceil((length - side) / (side / 2))))
    return sorted({round(i * (length - side) / steps) for i in range(steps + 1)}) if steps else [0]


def _bounding_box(points: NDArray[np.float32]) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _highest_score(faces: list[Face]) -> float:
    return max((f.score for f in faces), default=0.0)


def _is_sure(faces: list[Face]) -> bool:
    """Whether the best of the faces is certainly upright."""
    return _highest_score(faces) >= _SURE


def _area(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return (x1 - x0) * (y1 - y0)


def _drop_overlapping(faces: list[Face]) -> list[Face]:
    """Keep, of faces that overlap, the one with the highest score."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda f: -1.0 if np.isnan(f.score) else f.score, reverse=True):
        if all(haar.overlap(face.box, other.box) < _SAME_FACE for other in kept):
            kept.append(face)
    return kept


def _view_around(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> _View:
    """Return the view of a box with half its longer side added on all sides, inside the picture."""
    x0, y0, x1, y1 = box
    pad = max(x1 - x0, y1 - y0) / 2
    left, top = max(0, int(x0 - pad)), max(0, int(y0 - pad))
    return _View(left, top, min(shape[1], int(x1 + pad)), min(shape[0], int(y1 + pad)))
