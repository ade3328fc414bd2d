"""Draw what is behind a character, and pictures without a face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facestats.demo.drawing.canvas import Canvas, curve, shade, shift

if TYPE_CHECKING:
    from facestats.demo.drawing.look import Scene

WALLS = (
    (196, 204, 212),
    (214, 206, 190),
    (150, 172, 164),
    (120, 132, 152),
    (206, 186, 180),
    (92, 96, 108),
    (170, 190, 210),
)


def paint_backdrop(canvas: Canvas, scene: Scene) -> None:
    """Fill the canvas with one of six kinds of blurred surroundings.

    Parameters
    ----------
    canvas
        Painted in place.
    scene
        Names the kind and the seed of its details.
    """
    rng = np.random.default_rng(scene.backdrop_seed)
    target, canvas = canvas, Canvas(canvas.size, scale=0.25)  # a coarse canvas: the backdrop is out of focus
    wall = np.clip(np.asarray(WALLS[int(rng.integers(len(WALLS)))]) + rng.normal(0, 10, 3), 30, 240).astype(
        np.float32
    )
    _gradient(canvas, shade(wall, rng.uniform(1.0, 1.3)), shade(wall, rng.uniform(0.55, 0.85)))
    kinds = (None, _bokeh, _landscape, _window, _shelves, _panels)
    paint = kinds[scene.backdrop]
    if paint is not None:
        paint(canvas, rng, wall)
    target.px[:] = cv2.resize(canvas.px, (target.edge, target.edge), interpolation=cv2.INTER_LINEAR)


def _gradient(canvas: Canvas, top: np.ndarray, bottom: np.ndarray) -> None:
    """Fill the canvas with a gradient from one colour at the top to another at the bottom."""
    t = np.linspace(0, 1, canvas.edge, dtype=np.float32)[:, None, None]
    canvas.px[:] = top + (bottom - top) * t


def _bokeh(canvas: Canvas, rng: np.random.Generator, wall: np.ndarray) -> None:
    """Scatter soft lights."""
    for _ in range(14):
        color = shade(wall, 1.3) + rng.normal(0, 30, 3)
        canvas.disc(rng.uniform(0, 512, 2), rng.uniform(14, 50), np.clip(color, 0, 255), blur=6, alpha=0.35)


def _landscape(canvas: Canvas, rng: np.random.Generator, wall: np.ndarray) -> None:
    """Draw sky and hills."""
    _gradient(canvas, np.array([136, 182, 224], np.float32), np.array([226, 232, 232], np.float32))
    for k in range(3):
        y = 250 + 70 * k + rng.uniform(-20, 20)
        ridge: list[list[float]] = [
            [-40, 560],
            [-40, y],
            [100, y - rng.uniform(10, 70)],
            [250, y],
            [400, y - rng.uniform(10, 60)],
            [560, y],
            [560, 560],
        ]
        canvas.fill(curve(ridge), (110 - 24 * k, 146 - 16 * k, 116 - 26 * k), blur=4)


def _window(canvas: Canvas, rng: np.random.Generator, wall: np.ndarray) -> None:
    """Draw a bright window on one side."""
    x = rng.choice([20, 330])
    canvas.fill(
        np.array([[x, 20], [x + 160, 20], [x + 160, 290], [x, 290]]), (236, 242, 248), blur=5, alpha=0.8
    )
    bars = [np.array([[x + 80, 20], [x + 80, 290]]), np.array([[x, 150], [x + 160, 150]])]
    canvas.strokes(bars, shade(wall, 0.7), width=8, blur=3)


def _shelves(canvas: Canvas, rng: np.random.Generator, wall: np.ndarray) -> None:
    """Draw shelves of books out of focus."""
    for y in (90, 210, 330):
        x = 0.0
        while x < 512:
            w, h = rng.uniform(14, 34), rng.uniform(60, 96)
            book = np.array([[x, y], [x + w, y], [x + w, y - h], [x, y - h]])
            canvas.fill(book, np.clip(wall * 0.7 + rng.normal(0, 32, 3), 20, 235), alpha=0.8, blur=3)
            x += w + rng.uniform(0, 14)
        canvas.fill(np.array([[0, y], [512, y], [512, y + 10], [0, y + 10]]), shade(wall, 0.45), blur=2)


def _panels(canvas: Canvas, rng: np.random.Generator, wall: np.ndarray) -> None:
    """Draw slanting panels of the wall's colour."""
    for k in range(6):
        x = -120 + 120 * k + rng.uniform(-30, 30)
        panel = np.array([[x, -10], [x + 70, -10], [x + 190, 530], [x + 120, 530]])
        canvas.fill(panel, shade(wall, rng.uniform(0.75, 1.3)), blur=3, alpha=0.5)


def draw_nobody(rng: np.random.Generator) -> np.ndarray:
    """Draw a picture without a face: hills, a still life or a pattern.

    Parameters
    ----------
    rng
        Source of chance.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (512, 512, 3).
    """
    canvas = Canvas(scale=1.0)
    kind = int(rng.integers(3))
    wall = np.asarray(WALLS[int(rng.integers(len(WALLS)))], np.float32)
    _gradient(canvas, shade(wall, 1.3), shade(wall, 0.7))
    if kind == 0:
        _landscape(canvas, rng, wall)
        canvas.disc(rng.uniform(60, 200, 2), 34, (255, 240, 190), blur=3)
    elif kind == 1:
        canvas.fill(np.array([[0, 360], [512, 350], [512, 512], [0, 512]]), (134, 96, 62))
        vase = curve([[216, 250], [296, 250], [270, 290], [320, 400], [256, 440], [192, 400], [242, 290]])
        canvas.fill(vase, (70, 110, 160))
        for _ in range(9):
            tip = np.array([256, 160]) + rng.normal(0, 50, 2)
            canvas.strokes(
                [curve([[256, 255], (shift(tip, 256, 255)) / 2 + rng.normal(0, 12, 2), tip], closed=False)],
                (60, 120, 60),
                width=4,
            )
            canvas.disc(tip, rng.uniform(14, 26), rng.uniform(90, 250, 3))
    else:
        for x in range(0, 512, 64):
            for y in range(0, 512, 64):
                color = np.clip(wall + rng.normal(0, 50, 3), 0, 255)
                canvas.fill(np.array([[x, y], [x + 64, y], [x + 64, y + 64], [x, y + 64]]), color)
    return cv2.GaussianBlur(canvas.finish(), (0, 0), 0.8)
