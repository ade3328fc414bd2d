"""Landmarks of every face in a picture, 478 points each, small and turned faces included.

The networks are those of `facemesh` (LiteRT, the default) or of `mediapipe_tasks`. Three measured properties of their
face detector, which is the same, decide what this module does. It finds faces wider than an eighth of its input, so a
picture without a face is searched again in tiles. It also responds to a face that is upside down, with wrong landmarks
and a lower score (upright 0.87 and more, upside down 0.82 and less), so a detection with a low score is compared with
those in the turned picture. It responds to rings, icons and pumpkins too, but with other landmarks in a closer view or
its mirror image, so a detection with a low score is repeated in both.
"""

from __future__ import annotations

import functools
import os
import threading
from typing import TYPE_CHECKING, Protocol

import numpy as np

from facestats.core.protocols import Face
from facestats.models import facemesh, haar
from facestats.models.network_files import (
    FACEMESH,
    OFFICIAL,
    cache_folder,
    networks_hash,
    read_bundle,
    read_networks,
)
from facestats.models.runtime import describe_handle
from facestats.models.views import View, tiles, view_around

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from facestats.core.config import FacesSettings

_SURE = 0.85  # least score at which a face is certainly upright
_MIN_RETRY_SCORE = 0.8  # least score of a detection in a tile or turned view: patterns and icons reach 0.78
_MIN_TURN_GAIN = 0.05  # by how much the score of a turned view must exceed that of the upright one
_MAX_ERROR = (
    0.2  # eye distances: real faces are found again, also in their mirror image, to 0.04; patterns are not
)
_ZOOMS = (2, 5)  # tiles of 1/2 and 1/5 of the long side: they show faces down to 1/40 of it
_SAME_FACE = 0.3  # least overlap (intersection over union) of two boxes of one face
# landmarks to compare with the mirror image, and their counterparts there
_SIDES = [33, 133, 61, 2, 10, 152, 468, 263, 362, 291, 473]
_MIRRORED = [263, 362, 291, 2, 10, 152, 473, 33, 133, 61, 468]

LANDMARKERS = {"facemesh": FACEMESH, "official": OFFICIAL, "mediapipe": OFFICIAL}


class Graph(Protocol):
    """A face detector and the landmark networks behind it, for one process."""

    def process(self, pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.float64], float]]:
        """Return the landmarks (478, 3) in pixels and the score of each face."""

    def close(self) -> None:
        """Free what :meth:`process` has made."""


_graphs: dict[tuple[object, ...], Graph] = {}
_lock = threading.Lock()
if hasattr(
    os, "register_at_fork"
):  # a process that forks while a picture is searched must not leave the lock closed
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class FaceMesh:
    """Find faces and their landmarks (protocol `Landmarker`).

    A light handle: the networks are read at the first use, once per process for equal settings, and are not pickled.

    Parameters
    ----------
    min_confidence
        Lowest score of the detector, 0 to 1.
    max_faces
        Highest number of faces to find in one picture.
    second_detector
        ``opencv`` searches pictures in which nothing is found with the Haar cascades of OpenCV (Viola and Jones
        2001); ``none`` does not.
    landmarker
        ``facemesh``: detector, mesh and irises of mediapipe 0.10.21, run by LiteRT. ``official``: the networks of the
        Face Landmarker bundle, run by LiteRT. ``mediapipe``: the same bundle, run by the package mediapipe.
    networks
        A folder, a wheel or a bundle with the networks; None for those that facestats fetches.

    Raises
    ------
    ValueError
        If `second_detector` or `landmarker` is unknown.

    Examples
    --------
    >>> import facestats as fs
    >>> mesh = fs.models.FaceMesh(min_confidence=0.6)
    >>> mesh.name
    'facemesh 3e2ad4a7e43b 478 points confidence=0.6 faces=10 zooms=2,5'
    """

    def __init__(
        self,
        *,
        min_confidence: float = 0.5,
        max_faces: int = 10,
        second_detector: str = "none",
        landmarker: str = "facemesh",
        networks: Path | None = None,
    ) -> None:
        if second_detector not in {"none", "opencv"}:
            msg = f"second_detector must be 'none' or 'opencv', got {second_detector!r}"
            raise ValueError(msg)
        if landmarker not in LANDMARKERS:
            msg = f"landmarker must be one of {', '.join(LANDMARKERS)}; got {landmarker!r}"
            raise ValueError(msg)
        self.min_confidence = min_confidence
        self.max_faces = max_faces
        self.second_detector = second_detector
        self.landmarker = landmarker
        self.networks = networks

    @functools.cached_property
    def version(self) -> str:
        """Name of the networks, and their hash; ModelError if a file that `networks` names cannot be read."""
        networks = LANDMARKERS[self.landmarker]
        name = networks.name
        if self.landmarker == "mediapipe":
            from facestats.models import mediapipe_tasks

            name = f"mediapipe {mediapipe_tasks.installed_version()}"
        return f"{name} {networks_hash(networks, self.networks)}"

    @property
    def name(self) -> str:
        """Name of the networks with their hash, and every setting that can change what is found."""
        second = f" + {haar.name()}" if self.second_detector == "opencv" else ""
        return (
            f"{self.version}{second} 478 points confidence={self.min_confidence:g} faces={self.max_faces} "
            f"zooms={','.join(map(str, _ZOOMS))}"
        )

    @property
    def folder(self) -> Path:
        """Where the networks are on this machine; they are fetched first if they are missing."""
        read_networks(LANDMARKERS[self.landmarker], self.networks)
        return self.networks or cache_folder()

    def __repr__(self) -> str:
        return describe_handle(self, model=self.landmarker, device="cpu", loaded=self._graph_key() in _graphs)

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
        whole = View(0, 0, width, height)
        faces = self._detect(pixels, whole, "")
        if not _is_sure(faces):
            faces = self._keep_confirmed(pixels, self._detect_turned(pixels, whole, "", faces))
        for zoom in _ZOOMS:
            if faces:
                break
            # a face that the edge of one tile cuts is whole in the next one, where it has a higher score
            found = [f for v in tiles(width, height, zoom) for f in self._detect_in_tile(pixels, v, zoom)]
            faces = self._keep_confirmed(pixels, _drop_overlapping(found))
        return sorted(faces, key=_area, reverse=True)

    def _detect_turned(
        self, pixels: NDArray[np.uint8], view: View, how: str, upright: list[Face]
    ) -> list[Face]:
        """Return the faces in the quarter turn of a view with the best scores; `upright` unless one is clearly better."""
        best = upright
        floor = max(_MIN_RETRY_SCORE, _highest_score(upright) + _MIN_TURN_GAIN)
        for turns in (1, 3, 2):
            found = self._detect(pixels, view._replace(turns=turns), f"{how} turned {90 * turns}".strip())
            if _highest_score(found) > floor:
                best, floor = [f for f in found if f.score >= _MIN_RETRY_SCORE], _highest_score(found)
        return best

    def _detect_in_tile(self, pixels: NDArray[np.uint8], view: View, zoom: int) -> list[Face]:
        """Return the faces in a tile; a detection with a low score is repeated in turned views."""
        found = self._detect(pixels, view, f"zoom {zoom}")
        if found and not _is_sure(found):
            found = self._detect_turned(pixels, view, f"zoom {zoom}", found)
        return [f for f in found if f.score >= _MIN_RETRY_SCORE]

    def _keep_confirmed(self, pixels: NDArray[np.uint8], faces: list[Face]) -> list[Face]:
        """Keep faces with a high score, and those that are found again in a view around them and in its mirror image."""
        return [
            f
            for f in faces
            if f.score >= _SURE or all(self._is_found_again(pixels, f, mirror=m) for m in (True, False))
        ]

    def _is_found_again(self, pixels: NDArray[np.uint8], face: Face, *, mirror: bool) -> bool:
        if face.points is None:
            return True
        across = face.points[263] - face.points[33]
        turns = round(np.degrees(np.arctan2(across[1], across[0])) / 90) % 4
        view = view_around(face.box, pixels.shape)._replace(turns=turns, mirror=mirror)
        limit = _MAX_ERROR * np.linalg.norm(face.points[473] - face.points[468])
        same = _MIRRORED if mirror else _SIDES
        return any(
            np.linalg.norm(other.points[same] - face.points[_SIDES], axis=1).mean() < limit
            for other in self._detect(pixels, view, "again")
            if other.points is not None
        )

    def _detect(self, pixels: NDArray[np.uint8], view: View, how: str) -> list[Face]:
        """Return the faces that the graph finds in one view, in coordinates of the picture."""
        part, factor = view.cut(pixels)
        key = self._graph_key()
        if key not in _graphs:
            _graphs[key] = self._make_graph()
        try:
            found = _graphs[key].process(part)
        except BaseException:
            _graphs.pop(key).close()
            raise
        detector = f"{self.version} ({how})" if how else self.version
        faces = []
        for mesh, score in found:
            points = view.to_picture(mesh[:, :2], factor).astype(np.float32)
            depth = (mesh[:, 2] * factor).astype(np.float32)
            faces.append(Face(points, depth, _bounding_box(points), score, detector))
        return faces

    def _make_graph(self) -> Graph:
        if self.landmarker == "mediapipe":
            from facestats.models import mediapipe_tasks

            return mediapipe_tasks.Graph(
                functools.partial(read_bundle, self.networks),
                min_confidence=self.min_confidence,
                max_faces=self.max_faces,
            )
        return facemesh.Graph(
            functools.partial(read_networks, LANDMARKERS[self.landmarker], self.networks),
            min_confidence=self.min_confidence,
            max_faces=self.max_faces,
        )

    def _graph_key(self) -> tuple[object, ...]:
        # the process is part of it, because a graph does not survive a fork
        return os.getpid(), self.landmarker, self.networks, self.min_confidence, self.max_faces

    def _search_with_cascades(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Search what the cascades propose; where the landmarker fails but two cascades agree, return the box alone."""
        faces = []
        for box, votes in haar.propose_boxes(pixels):
            view = view_around(box, pixels.shape)
            found = self._detect(pixels, view, haar.name())
            if not _is_sure(found):
                found = self._detect_turned(pixels, view, haar.name(), found)
            agreed = [f for f in found if haar.overlap(f.box, box) >= _SAME_FACE]
            if agreed:
                faces.append(max(agreed, key=lambda f: f.score))
            elif votes > 1:
                faces.append(Face(None, None, box, float("nan"), haar.name()))
        return sorted(_drop_overlapping(faces), key=_area, reverse=True)


def landmarker(settings: FacesSettings) -> FaceMesh:
    """Make a handle on the landmarker; its networks are read, and fetched if they are missing, by the first picture.

    While the networks are read, the standard error of the whole process is discarded, because LiteRT and mediapipe
    write start-up messages to it. The networks are kept until the process ends.

    Parameters
    ----------
    settings
        `landmarker`, `networks`, `min_confidence`, `max_faces` and `second_detector` are used.

    Returns
    -------
    A handle for :func:`facestats.align_faces`.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import FacesSettings
    >>> fs.models.landmarker(FacesSettings(max_faces=3))
    FaceMesh(model='facemesh', device='cpu', loaded=False)
    """
    return FaceMesh(
        min_confidence=settings.min_confidence,
        max_faces=settings.max_faces,
        second_detector=settings.second_detector,
        landmarker=settings.landmarker,
        networks=settings.networks,
    )


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
