"""Statistics of any number of pictures in fixed memory: mean, spread, components, permutation tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Moments:
    """Weighted mean and standard deviation per pixel, from running sums.

    Pixels are integers, so with weights of one the sums in float64 are exact (up to 10^11 pictures) and
    nothing depends on the order of the pictures.
    """

    def __init__(self) -> None:
        self.n = 0
        self.weight = 0.0
        self._sum: NDArray[np.float64] | None = None
        self._squares: NDArray[np.float64] | None = None

    def add(self, pixels: NDArray[np.uint8], *, weight: float = 1.0) -> None:
        """Add one picture, (height, width, 3) uint8."""
        import cv2

        if self._sum is None or self._squares is None:
            self._sum = np.zeros(pixels.shape)
            self._squares = np.zeros(pixels.shape)
        if weight == 1:
            cv2.accumulate(pixels, self._sum)
            cv2.accumulateSquare(pixels, self._squares)
        else:
            weighted = weight * pixels.astype(np.float64)
            self._sum += weighted
            self._squares += weighted * pixels
        self.n += 1
        self.weight += weight

    def mean(self) -> NDArray[np.float64]:
        """Mean, in the unit and shape of the pictures."""
        return self._sum / self.weight

    def sd(self) -> NDArray[np.float64]:
        """Standard deviation over the pictures (population formula), root mean square over channels."""
        variance = np.maximum(self._squares / self.weight - self.mean() ** 2, 0)
        return np.sqrt(variance.mean(axis=-1))
