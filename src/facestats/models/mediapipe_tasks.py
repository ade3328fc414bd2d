"""The second landmarker: the package mediapipe (1.2 or later) runs the networks of the official bundle.

It is not the default, and nothing else imports the package: its Tasks open connections to a logging service when a
landmarker is made (mediapipe issue 6291), which a tool for research on faces must not do unasked.
"""

from __future__ import annotations

import threading
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.core.protocols import ModelError
from facestats.models.runtime import discard_standard_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_OLDEST = (1, 2)
_MESH_SIDE = 256  # pixels of the mesh's input
_FACE_MARGIN = 1.5  # side of the region that the mesh sees, in longer sides of the detector's box


class Graph:
    """Detector and landmarker of mediapipe Tasks, started by the first picture.

    Parameters
    ----------
    read
        Returns the bundle, and the detector in it, by the names ``bundle`` and ``detector``.
    min_confidence
        Lowest score of the detector, 0 to 1.
    max_faces
        Highest number of faces in one picture.
    """

    def __init__(
        self, read: Callable[[], tuple[bytes, bytes]], *, min_confidence: float, max_faces: int
    ) -> None:
        self.min_confidence, self.max_faces = min_confidence, max_faces
        self._read = read
        self._tasks: tuple[Any, Any] | None = None
        self._has_found_a_face = False

    def process(self, pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.float64], float]]:
        """Return the landmarks (478, 3) in pixels and the score of each face."""
        if self._has_found_a_face:
            return self._search(pixels)
        with (
            discard_standard_error()
        ):  # its threads write to it when they start, some of them with the first face
            found = self._search(pixels)
        self._has_found_a_face = bool(found)
        return found

    def close(self) -> None:
        """Free the tasks."""
        tasks, self._tasks = self._tasks, None
        for task in tasks or ():
            task.close()

    def _search(self, pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.float64], float]]:
        import mediapipe

        self._tasks = self._tasks or self._start()
        detector, landmarker = self._tasks
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        meshes = landmarker.detect(image).face_landmarks
        detections = detector.detect(image).detections if meshes else []
        height, width = pixels.shape[:2]
        boxes = [d.bounding_box for d in detections]
        centres = np.array([(b.origin_x + b.width / 2, b.origin_y + b.height / 2) for b in boxes])
        found = []
        for mesh in meshes:
            points = np.array([(p.x * width, p.y * height, p.z * width) for p in mesh], dtype=np.float64)
            if not boxes:  # the two decide by thresholds of their own
                continue
            middle = (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
            nearest = int(np.linalg.norm(centres - middle, axis=1).argmin())
            points[:, :2] -= _sampling_shift(detections[nearest], width, height)
            found.append((points, float(detections[nearest].categories[0].score)))
        return found

    def _start(self) -> tuple[Any, Any]:
        from mediapipe.tasks.python import BaseOptions, vision

        bundle, detector = self._read()
        # a task closes itself by a thread, so it must do that before Python ends all threads, which is before `atexit`
        threading._register_atexit(self.close)  # type: ignore[attr-defined]
        return (
            vision.FaceDetector.create_from_options(
                vision.FaceDetectorOptions(
                    base_options=BaseOptions(model_asset_buffer=detector),
                    min_detection_confidence=self.min_confidence,
                )
            ),
            vision.FaceLandmarker.create_from_options(
                vision.FaceLandmarkerOptions(
                    base_options=BaseOptions(model_asset_buffer=bundle),
                    num_faces=self.max_faces,
                    min_face_detection_confidence=self.min_confidence,
                )
            ),
        )


def installed_version() -> str:
    """Return the version of mediapipe, without importing it; ModelError if it is missing or too old."""
    try:
        found = metadata.version("mediapipe")
    except metadata.PackageNotFoundError:
        found = ""
    if tuple(int(part) for part in found.split(".")[:2] if part.isdigit()) < _OLDEST:
        msg = (
            f"faces.landmarker is mediapipe, which needs mediapipe 1.2 or later; found {found or 'none'}."
            " Type: pip install 'mediapipe>=1.2', or set faces.landmarker to facemesh."
        )
        raise ModelError(msg)
    return found


def _sampling_shift(detection: Any, width: int, height: int) -> NDArray[np.float64]:
    """Return half a pixel of the mesh's input along both axes of its region, in pixels of the picture.

    mediapipe samples each input pixel at its corner, where the network expects its centre, so raw landmarks lie half
    an input pixel to the lower right.
    """
    eyes = np.array([(p.x * width, p.y * height) for p in detection.keypoints[:2]])
    across = (eyes[1] - eyes[0]) / max(np.hypot(*(eyes[1] - eyes[0])), np.finfo(float).tiny)
    box = detection.bounding_box
    half = _FACE_MARGIN * max(box.width, box.height) / _MESH_SIDE / 2
    return np.array([across[0] - across[1], across[0] + across[1]]) * half
