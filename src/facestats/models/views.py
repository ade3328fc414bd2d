"""Windows of a picture that a landmarker looks at: the whole, tiles of it, quarter turns, the mirror image."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_VIEW_SIDE = 1024  # pixels; longer sides are reduced by whole factors
_MIN_TILE = 160  # pixels; a tile of this side shows faces of 20 pixels
_ROTATIONS = (None, 2, 1, 0)  # of OpenCV: none, 90 degrees counterclockwise, 180, 90 clockwise


class View(NamedTuple):
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


def tiles(width: int, height: int, zoom: int) -> list[View]:
    """Return square windows of 1/zoom of the long side; neighbours overlap by half."""
    side = max(max(width, height) // zoom, _MIN_TILE)
    if side >= max(width, height):
        return []
    lefts, tops = _starts(width, side), _starts(height, side)
    return [View(x, y, min(x + side, width), min(y + side, height)) for y in tops for x in lefts]


def _starts(length: int, side: int) -> list[int]:
    steps = max(0, int(np.ceil((length - side) / (side / 2))))
    return sorted({round(i * (length - side) / steps) for i in range(steps + 1)}) if steps else [0]


def view_around(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> View:
    """Return the view of a box with half its longer side added on all sides, inside the picture."""
    x0, y0, x1, y1 = box
    pad = max(x1 - x0, y1 - y0) / 2
    left, top = max(0, int(x0 - pad)), max(0, int(y0 - pad))
    return View(left, top, min(shape[1], int(x1 + pad)), min(shape[0], int(y1 + pad)))
