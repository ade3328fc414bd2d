"""A face as the web page shows it: the crop with its landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import ImageDraw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

# yellow dots with a black edge are visible on any skin
_DOTS = ((2.5, (0, 0, 0)), (1.5, (240, 228, 66)))


def draw_landmarks(crop: Image.Image, points: NDArray[np.floating] | None) -> Image.Image:
    """Draw landmarks, (n, 2) in pixels of the crop, on a copy of the crop; None draws nothing."""
    image = crop.copy()
    pen = ImageDraw.Draw(image)
    for radius, color in _DOTS:
        for x, y in () if points is None else points:
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)
    return image
