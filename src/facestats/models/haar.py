"""A second opinion on where faces are: the Haar cascades that OpenCV ships (Viola and Jones 2001)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CASCADES = ("haarcascade_frontalface_default", "haarcascade_frontalface_alt2", "haarcascade_profileface")
_SIDE = 1024  # pixels; pictures with a longer side are reduced to it
_SAME_FACE = 0.4  # least overlap (intersection over union) of two boxes of one face
# the box of the landmarks in that of a frontal cascade: mean of 51 London and 3DSK faces, SD 0.02 to 0.06
_EXTENT = np.array([0.08, 0.065, 0.921, 1.069])


def name() -> str:
    """Name and version of the detector."""
    import cv2  # changes environment variables of the process, so only where pixels are looked at

    return f"haar {cv2.__version__}"


class Proposal(NamedTuple):
    """The box of a face, x0, y0, x1, y1 in pixels, and the number of cascades that propose it."""

    box: tuple[float, float, float, float]
    votes: int


def propose_boxes(pixels: NDArray[np.uint8]) -> list[Proposal]:
    """Return where the cascades find faces in an RGB picture, (height, width, 3) uint8."""
    import cv2

    scale = max(1.0, max(pixels.shape) / _SIDE)
    size = [max(1, round(n / scale)) for n in pixels.shape[1::-1]]
    grey = cv2.cvtColor(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    grey = cv2.equalizeHist(grey)
    groups: list[dict[str, NDArray[np.float64]]] = []
    for cascade in _CASCADES:
        # OpenCV reads this file of its own package, and none that a user names
        model = cv2.CascadeClassifier(f"{cv2.data.haarcascades}{cascade}.xml")
        for x, y, w, h in model.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24)):
            box = (np.array([x, y, x, y]) + _EXTENT * (w, h, w, h)) * scale
            same = next((g for g in groups if overlap(next(iter(g.values())), box) >= _SAME_FACE), None)
            if same is None:
                groups.append({cascade: box})
            else:
                same.setdefault(cascade, box)
    means = [np.mean(list(g.values()), axis=0).tolist() for g in groups]
    return [Proposal((x0, y0, x1, y1), len(g)) for (x0, y0, x1, y1), g in zip(means, groups, strict=True)]


def overlap(a: tuple[float, ...] | NDArray[np.float64], b: tuple[float, ...] | NDArray[np.float64]) -> float:
    """Return the intersection over union of two boxes x0, y0, x1, y1."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))
