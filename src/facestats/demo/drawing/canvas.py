"""A small painter on NumPy and OpenCV: smooth outlines, soft fills and strokes, all in picture pixels."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

SHIFT = 4  # fractional bits of OpenCV's coordinates: it draws with a precision of 1/16 pixel

Point: TypeAlias = "Sequence[float] | np.ndarray"  # x, y
Points: TypeAlias = "Sequence[Point] | np.ndarray"  # (n, 2)
Color: TypeAlias = "Sequence[float] | np.ndarray"  # red, green, blue, 0 to 255


def curve(points: Points, *, closed: bool = True, steps: int = 8) -> np.ndarray:
    """Draw a smooth line through points.

    Parameters
    ----------
    points
        At least two points, shape (n, 2).
    closed
        Whether the last point joins the first.
    steps
        Points of the line between two neighbouring points.

    Returns
    -------
    numpy.ndarray
        A Catmull-Rom spline (Catmull and Rom, 1974), shape (spans * steps, 2).
    """
    p = np.asarray(points, np.float64)
    ext = np.vstack([p[-1:], p, p[:2]]) if closed else np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (ext[i : len(ext) - 3 + i, None, :] for i in range(4))
    line = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    line = line.reshape(-1, 2)
    return line if closed else np.vstack([line, p[-1:]])


def mirror(half: Points) -> np.ndarray:
    """Complete the right half of an outline, given from top to bottom, with its mirror image in x."""
    right = np.asarray(half, np.float64)
    left = right[::-1] * [-1.0, 1.0]
    inner = left[1 if abs(right[-1, 0]) < 1e-9 else 0 : -1 if abs(right[0, 0]) < 1e-9 else None]
    return np.vstack([right, inner])


def shift(points: Point | Points, dx: float, dy: float) -> np.ndarray:
    """Move one point or several by (dx, dy)."""
    return np.asarray(points, np.float64) + np.array([dx, dy])


def shade(color: Color, factor: float) -> np.ndarray:
    """Darken (factor below 1) or lighten towards white (factor above 1) a colour of 0 to 255."""
    c = np.asarray(color, np.float32)
    return c * factor if factor <= 1 else c + (255.0 - c) * (factor - 1.0)


def mix(first: Color, second: Color, share: float) -> np.ndarray:
    """Mix two colours; `share` is that of the second, 0 to 1."""
    a = np.asarray(first, np.float32)
    return a + (np.asarray(second, np.float32) - a) * np.float32(share)


@lru_cache(maxsize=4)
def grain(size: int) -> np.ndarray:
    """Return a fixed tile of soft noise around 0, shape (size, size); treat it as read-only, since it is cached."""
    rng = np.random.default_rng(7)
    fine = rng.standard_normal((size, size)).astype(np.float32)
    soft = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), 3)
    return 0.6 * fine + 0.8 * soft / soft.std()


class Canvas:
    """An unfinished picture: float colours at `scale` times the final size.

    Parameters
    ----------
    size
        Side of the final picture in pixels; all coordinates of the methods are in these pixels.
    scale
        Painted pixels per final pixel, along each side.
    """

    def __init__(self, size: int = 512, *, scale: float = 1.25) -> None:
        self.size, self.scale = size, scale
        self.edge = round(size * scale)
        self.px = np.zeros((self.edge, self.edge, 3), np.float32)

    def _fixed(self, points: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
        """Convert picture coordinates to OpenCV's fixed-point coordinates within a region."""
        local = np.asarray(points, np.float64) * self.scale - origin
        return np.round(local * (1 << SHIFT)).astype(np.int32).reshape(-1, 1, 2)

    def _region(self, points: np.ndarray, margin: float) -> tuple[int, int, int, int] | None:
        """Return the box around the points and a margin, in painted pixels; None if it is outside the canvas."""
        p = np.asarray(points) * self.scale
        x0, y0 = np.floor(p.min(0) - margin).astype(int)
        x1, y1 = np.ceil(p.max(0) + margin).astype(int) + 1
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, self.edge), min(y1, self.edge)
        return None if x0 >= x1 or y0 >= y1 else (int(x0), int(y0), int(x1), int(y1))

    def mask(self, *outlines: np.ndarray) -> np.ndarray:
        """Return a mask of the whole canvas, 255 inside the outlines and 0 outside, which limits later paint."""
        out = np.zeros((self.edge, self.edge), np.uint8)
        for outline in outlines:
            cv2.fillPoly(out, [self._fixed(outline, (0, 0))], 255, cv2.LINE_AA, SHIFT)
        return out

    def _blend(
        self,
        mask: np.ndarray,
        box: tuple[int, int, int, int],
        paint: tuple[Color, float, float, np.ndarray | None],
    ) -> None:
        """Paint the region with (colour, blur, alpha, clip) where the mask is above 0."""
        color, blur, alpha, clip = paint
        x0, y0, x1, y1 = box
        if blur > 0:
            sigma = blur * self.scale
            step = max(1, int(sigma / 2))  # a wide blur needs no fine grid
            if step > 1:
                h, w = mask.shape
                small = cv2.resize(mask, (max(1, w // step), max(1, h // step)), interpolation=cv2.INTER_AREA)
                mask = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / step), (w, h))
            else:
                mask = cv2.GaussianBlur(mask, (0, 0), sigma)
        if clip is None:
            a = cv2.multiply(mask, 1.0, scale=alpha / 255.0, dtype=cv2.CV_32F)
        else:
            a = cv2.multiply(mask, clip[y0:y1, x0:x1], scale=alpha / 255.0**2, dtype=cv2.CV_32F)
        region = self.px[y0:y1, x0:x1]
        r, g, b = (float(v) for v in color)
        change = cv2.multiply(cv2.subtract((r, g, b, 0.0), region), cv2.merge((a, a, a)))
        region[:] = cv2.add(region, change)  # OpenCV is four times as fast here as broadcasting

    def fill(
        self,
        outline: np.ndarray,
        color: Color,
        *,
        blur: float = 0.0,
        alpha: float = 1.0,
        clip: np.ndarray | None = None,
    ) -> None:
        """Fill an outline, shape (n, 2), inside the mask `clip`; `blur` is in pixels."""
        self.fills([outline], color, blur=blur, alpha=alpha, clip=clip)

    def fills(
        self,
        outlines: Sequence[np.ndarray],
        color: Color,
        *,
        blur: float = 0.0,
        alpha: float = 1.0,
        clip: np.ndarray | None = None,
    ) -> None:
        """Fill several outlines in one colour at once."""
        box = self._region(np.vstack(outlines), 2.6 * blur * self.scale + 2)
        if box is None:
            return
        mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        for outline in outlines:
            cv2.fillPoly(mask, [self._fixed(outline, box[:2])], 255, cv2.LINE_AA, SHIFT)
        self._blend(mask, box, (color, blur, alpha, clip))

    def strokes(
        self,
        lines: Sequence[np.ndarray],
        color: Color,
        *,
        width: float = 1.0,
        blur: float = 0.0,
        alpha: float = 1.0,
        clip: np.ndarray | None = None,
    ) -> None:
        """Draw open lines, each of shape (n, 2), of one width in pixels."""
        if not len(lines):
            return
        box = self._region(np.vstack(lines), 2.6 * blur * self.scale + width * self.scale + 2)
        if box is None:
            return
        mask = np.zeros((box[3] - box[1], box[2] - box[0]), np.uint8)
        fixed = [self._fixed(line, box[:2]) for line in lines]
        cv2.polylines(mask, fixed, False, 255, max(1, round(width * self.scale)), cv2.LINE_AA, SHIFT)  # noqa: FBT003
        self._blend(mask, box, (color, blur, alpha, clip))

    def taper(
        self,
        line: np.ndarray,
        color: Color,
        *,
        width: float,
        alpha: float = 1.0,
        blur: float = 0.0,
        clip: np.ndarray | None = None,
        ends: tuple[float, float] = (0.15, 0.15),
    ) -> None:
        """Draw a line that is `width` pixels wide in the middle, and the shares `ends` of that at its ends."""
        p = np.asarray(line, np.float64)
        tangent = np.gradient(p, axis=0)
        normal = tangent[:, ::-1] * [-1, 1] / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
        t = np.linspace(0, 1, len(p))
        swell = np.interp(t, [0, 0.5, 1], [ends[0], 1.0, ends[1]]) * width / 2
        self.fill(
            np.vstack([p + normal * swell[:, None], (p - normal * swell[:, None])[::-1]]),
            color,
            blur=blur,
            alpha=alpha,
            clip=clip,
        )

    def disc(
        self,
        centre: Point,
        radius: float | tuple[float, float],
        color: Color,
        *,
        blur: float = 0.0,
        alpha: float = 1.0,
        clip: np.ndarray | None = None,
    ) -> None:
        """Fill a circle, or an upright ellipse where `radius` is (x, y)."""
        rx, ry = radius if isinstance(radius, tuple) else (radius, radius)
        t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        self.fill(
            np.asarray(centre) + np.stack([rx * np.cos(t), ry * np.sin(t)], 1),
            color,
            blur=blur,
            alpha=alpha,
            clip=clip,
        )

    def finish(self) -> np.ndarray:
        """Reduce to the final size: uint8 RGB, shape (size, size, 3)."""
        small = cv2.resize(self.px, (self.size, self.size), interpolation=cv2.INTER_AREA)
        return np.clip(np.rint(small), 0, 255).astype(np.uint8)
