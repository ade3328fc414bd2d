"""The Mediapipe graph behind `models.landmarks`: one process, one graph, no noise."""

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
    from collections.abc import Iterator

    from numpy.typing import NDArray

_GRAPH = "mediapipe/modules/face_landmark/face_landmark_front_cpu.binarypb"
_WEIGHTS = (
    "modules/face_detection/face_detection_short_range.tflite",
    "modules/face_landmark/face_landmark_with_attention.tflite",
)
_DETECTOR = (
    "facedetectionshortrangecpu__facedetectionshortrange__facedetection__TensorsToDetectionsCalculator"
)
_MESH_INPUT = 192  # pixels a side, of what the landmark model sees


class Graph:
    """A Mediapipe graph, started by its first picture.

    Noise on standard error is held back from the start until the first face was found: threads of the graph go
    on starting after the call that started it has returned.
    """

    def __init__(self, min_confidence: float, max_faces: int) -> None:
        self.min_confidence, self.max_faces = min_confidence, max_faces
        self._solution: Any = None
        self._warm = False

    def process(self, pixels: NDArray[np.uint8]) -> list[tuple[NDArray[np.float64], float]]:
        """Landmarks (478, 3) in pixels and score of each face."""
        with nullcontext() if self._warm else _quiet():
            self._solution = self._solution or self._start()
            result = self._solution.process(pixels)
        meshes = result.multi_face_landmarks or []
        self._warm = self._warm or bool(meshes)
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
            # faces without presence leave no mesh, so the lists differ in length: nearest region
            away = [np.hypot(x * width - centre[0], y * height - centre[1]) for x, y, _, _ in regions]
            nearest = int(np.argmin(away))
            points[:, :2] -= _sampling_shift(regions[nearest][2] * width, regions[nearest][3])
            found.append((points, float(scores[nearest])))
        return found

    def _start(self) -> Any:
        os.environ.setdefault("GLOG_minloglevel", "2")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from mediapipe.python.solution_base import SolutionBase

        # as mediapipe.solutions.face_mesh.FaceMesh, with detections and regions among the outputs
        return SolutionBase(
            binary_graph_path=_GRAPH,
            side_inputs={"num_faces": self.max_faces, "with_attention": True, "use_prev_landmarks": False},
            calculator_params={f"{_DETECTOR}.min_score_thresh": self.min_confidence},
            outputs=["multi_face_landmarks", "face_detections", "face_rects_from_detections"],
        )

    def close(self) -> None:
        """Free the graph; one that failed raises here again."""
        if self._solution is None:
            return
        with suppress(RuntimeError, ValueError):
            self._solution.close()


def _sampling_shift(side: float, rotation: float) -> NDArray[np.float64]:
    """Half a pixel of the model's input along both axes of the region, in pixels of the picture.

    The graph samples input pixel i at the corner of the area that the model takes it for (OpenCV's pixel
    centres against the model's), so raw landmarks lie half an input pixel to the lower right. Without the
    shift the irises are 0.020 eye distances off the hand-placed pupils of the London set, with it 0.010.
    """
    cos, sin = np.cos(rotation), np.sin(rotation)
    return np.array([cos - sin, sin + cos]) * side / _MESH_INPUT / 2


def mediapipe_version() -> str:
    """Version of the installed mediapipe, without importing it."""
    try:
        return metadata.version("mediapipe")
    except metadata.PackageNotFoundError as error:
        msg = "mediapipe is not installed, so no face can be found: pip install mediapipe==0.10.21"
        raise ModelError(msg) from error


def weights_hash() -> str:
    """Hash of the two models that ship in the wheel, without importing mediapipe."""
    spec = find_spec("mediapipe")
    digest = hashlib.sha256()
    try:
        for weights in _WEIGHTS:
            digest.update((Path(str(spec and spec.origin)).parent / weights).read_bytes())
    except OSError as error:
        msg = f"mediapipe {mediapipe_version()} lacks {error.filename}: pip install mediapipe==0.10.21"
        raise ModelError(msg) from error
    return digest.hexdigest()[:12]


@contextmanager
def _quiet() -> Iterator[None]:
    """Send the standard error of this process, C++ libraries included, nowhere while the block runs."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error to silence
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
