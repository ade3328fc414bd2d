"""The Mediapipe graph behind `models.landmarks`, without its messages on standard error."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager, nullcontext, suppress
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.core.protocols import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

_GRAPH = "mediapipe/modules/face_landmark/face_landmark_front_cpu.binarypb"
_WEIGHTS = (
    "modules/face_detection/face_detection_short_range.tflite",
    "modules/face_landmark/face_landmark_with_attention.tflite",
)
_DETECTOR = (
    "facedetectionshortrangecpu__facedetectionshortrange__facedetection__TensorsToDetectionsCalculator"
)
_MESH_INPUT = 192  # side of the landmark model's input, in pixels
# the least level that the C++ libraries write about: errors
_LOG_LEVELS = {"GLOG_minloglevel": "2", "TF_CPP_MIN_LOG_LEVEL": "3"}


class Graph:
    """A Mediapipe graph, started by its first picture.

    While :meth:`process` runs, the standard error of the process is silenced until a first face has been found:
    the graph starts threads that write to it, some of them only when there is a face.
    """

    def __init__(self, min_confidence: float, max_faces: int) -> None:
        self.min_confidence, self.max_faces = min_confidence, max_faces
        self._solution: Any = None
        self._has_found_a_face = False

    def process(self, pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.float64], float]]:
        """Return the landmarks (478, 3) in pixels and the score of each face."""
        with nullcontext() if self._has_found_a_face else _quiet():
            self._solution = self._solution or self._start()
            result = self._solution.process(pixels)
        meshes = result.multi_face_landmarks or []
        self._has_found_a_face = self._has_found_a_face or bool(meshes)
        height, width = pixels.shape[:2]
        regions = [
            (r.x_center, r.y_center, r.width, r.rotation) for r in result.face_rects_from_detections or []
        ]
        scores = [d.score[0] for d in result.face_detections or []]
        found = []
        for mesh in meshes:
            points = np.array(
                [(p.x * width, p.y * height, p.z * width) for p in mesh.landmark], dtype=np.float64
            )
            centre = (points[:, :2].min(axis=0) + points[:, :2].max(axis=0)) / 2
            # a region without a mesh is possible, so the two lists may differ in length: take the nearest region
            distances = [np.hypot(x * width - centre[0], y * height - centre[1]) for x, y, _, _ in regions]
            nearest = int(np.argmin(distances))
            points[:, :2] -= _sampling_shift(regions[nearest][2] * width, regions[nearest][3])
            found.append((points, float(scores[nearest])))
        return found

    def _start(self) -> Any:
        with _default_environment(_LOG_LEVELS):
            from mediapipe.python.solution_base import SolutionBase

            # as mediapipe.solutions.face_mesh.FaceMesh, with detections and regions among the outputs
            return SolutionBase(
                binary_graph_path=_GRAPH,
                side_inputs={
                    "num_faces": self.max_faces,
                    "with_attention": True,
                    "use_prev_landmarks": False,
                },
                calculator_params={f"{_DETECTOR}.min_score_thresh": self.min_confidence},
                outputs=["multi_face_landmarks", "face_detections", "face_rects_from_detections"],
            )

    def close(self) -> None:
        """Free the graph, also one that has failed, which raises its error again when it is closed."""
        if self._solution is None:
            return
        with suppress(RuntimeError, ValueError):
            self._solution.close()


def _sampling_shift(side: float, rotation: float) -> NDArray[np.float64]:
    """Return half a pixel of the model's input along both axes of the region, in pixels of the picture.

    The graph samples each input pixel at its corner, where the model expects its centre, so raw landmarks lie
    half an input pixel to the lower right. Without the shift, the irises are 0.020 eye distances from the
    hand-placed pupils of the London set; with it, they are 0.010 eye distances from them.
    """
    cos, sin = np.cos(rotation), np.sin(rotation)
    return np.array([cos - sin, sin + cos]) * side / _MESH_INPUT / 2


def mediapipe_version() -> str:
    """Return the version of the installed mediapipe, without importing it."""
    try:
        return metadata.version("mediapipe")
    except metadata.PackageNotFoundError as error:
        msg = "mediapipe is not installed, so no face can be found. Type: pip install mediapipe==0.10.21"
        raise ModelError(msg) from error


def weights_hash() -> str:
    """Hash the two models in the wheel of mediapipe, without importing it."""
    spec = find_spec("mediapipe")
    digest = hashlib.sha256()
    try:
        for weights in _WEIGHTS:
            digest.update((Path(str(spec and spec.origin)).parent / weights).read_bytes())
    except OSError as error:
        msg = f"mediapipe {mediapipe_version()} lacks {error.filename}. Type: pip install mediapipe==0.10.21"
        raise ModelError(msg) from error
    return digest.hexdigest()[:12]


@contextmanager
def _default_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set those of the environment variables that are not set, and remove them after the block."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _quiet() -> Iterator[None]:
    """Discard what this process writes to standard error, C++ libraries included, while the block runs."""
    try:
        original = os.dup(2)
    except OSError:  # there is no standard error to silence
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(original, 2)
        os.close(original)
        os.close(null)
