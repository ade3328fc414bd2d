"""Pictures in which a face detector may see a face, and there is none: for the tests and for `landmarks.py`."""

from __future__ import annotations

import cv2
import numpy as np


def draw_no_faces() -> dict[str, np.ndarray]:
    """Draw them; each has a name.

    Returns
    -------
    RGB pictures, (height, width, 3) uint8, by name.
    """
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:300, :400]
    grey = {
        "black": 0 * x,
        "gradient": x * 255 // 400,
        "checks": (x // 20 + y // 20) % 2 * 255,
        "rings": (np.sin(np.hypot(x - 200, y - 150) / 9) + 1) * 127,
        "disc": np.hypot(x - 200, y - 150) < 110,
    }
    pictures = {name: np.repeat(np.uint8(p)[..., None], 3, axis=2) for name, p in grey.items()}
    pictures["green"] = np.full((300, 400, 3), (30, 160, 40), dtype=np.uint8)
    pictures["noise"] = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
    pictures["blobs"] = cv2.resize(rng.integers(0, 256, (15, 20, 3), dtype=np.uint8), (800, 600))
    page = np.full((600, 800, 3), 255, dtype=np.uint8)
    for line in range(30, 600, 24):
        cv2.putText(page, "the quick brown fox (8) jumps over :-) dogs", (20, line), 0, 0.6, (0, 0, 0), 1)
    pictures["text"] = page
    return pictures


def draw_pumpkin(seed: int, number: int) -> np.ndarray:
    """Draw a pumpkin of any size and ground, plain or carved; the detector sees a face in some of the carved ones.

    Parameters
    ----------
    seed, number
        The same values draw the same pumpkin.

    Returns
    -------
    An RGB picture, (side, side, 3) uint8.
    """
    rng = np.random.default_rng([seed, number])
    side = int(rng.choice([64, 128, 300, 512, 800]))
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = (255, 255, 255) if rng.random() < 0.5 else rng.integers(0, 256, 3)
    x, y = (side // 2 + int(rng.integers(-side // 8, side // 8)) for _ in range(2))
    size = int(side * rng.uniform(0.2, 0.4))
    orange = tuple(int(rng.integers(low, high)) for low, high in ((200, 256), (90, 150), (0, 50)))
    shade = tuple(int(v * 0.8) for v in orange)
    for shift in (-0.6, 0.6, -0.35, 0.35, 0):
        axes = int(size * 0.45), int(size * 0.75)
        color = orange if shift in {0, -0.6, 0.6} else shade
        cv2.ellipse(picture, (int(x + shift * size), y), axes, 0, 0, 360, color, -1, cv2.LINE_AA)
    stalk = (x - size // 10, y - int(size * 0.95)), (x + size // 10, y - int(size * 0.65))
    cv2.rectangle(picture, *stalk, (60, 120, 40), -1)
    if rng.random() < 0.5:
        _carve(picture, x, y, size, rng)
    return cv2.GaussianBlur(picture, (0, 0), max(0.6, side / 150)) if rng.random() < 0.3 else picture


def _carve(picture: np.ndarray, x: int, y: int, size: int, rng: np.random.Generator) -> None:
    hole = (40, 20, 0) if rng.random() < 0.5 else (255, 240, 120)
    for sign in (-1, 1):
        eye = [(0.35 * sign, -0.4), (0.55 * sign, -0.05), (0.15 * sign, -0.05)]
        points = np.array([[x + size * dx, y + size * dy] for dx, dy in eye], int)
        cv2.fillPoly(picture, [points], hole, cv2.LINE_AA)
    nose = np.array([[x, y], [x - size * 0.1, y + size * 0.15], [x + size * 0.1, y + size * 0.15]], int)
    cv2.fillPoly(picture, [nose], hole, cv2.LINE_AA)
    mouth = (x, y + int(size * 0.2)), (int(size * 0.55), int(size * 0.35))
    width = -1 if rng.random() < 0.6 else max(3, size // 12)
    cv2.ellipse(picture, *mouth, 0, 10, 170, hole, width, cv2.LINE_AA)
