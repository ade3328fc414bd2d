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
