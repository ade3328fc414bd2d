"""Statistics of any number of pictures in fixed memory: mean, spread, components, permutation tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Moments:
    """Weighted mean and standard deviation per pixel, from running sums.

    Pixels are integers, so with weights of one the sums in float64 are exact (up to 10^11 pictures) and
    nothing depends on the order of the pictures.
    """

    def __init__(self) -> None:
        self.n = 0
        self.weight = 0.0
        self._sum: Any = None
        self._squares: Any = None

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


class PermutedSums:
    """Sums over one of two groups for the real labels and many random ones, in one pass over the pictures.

    Group sizes are kept: each picture joins the first group with the probability of places left over
    pictures left, which makes every assignment equally likely (Fan, Muller & Rezucha 1962). Memory is
    (permutations + 3) pictures, whatever their number.
    """

    def __init__(self, n_first: int, n_second: int, *, n_permutations: int, seed: int) -> None:
        self._sizes = (n_first, n_second)
        self._rng = np.random.default_rng(seed)
        self._places = np.full(n_permutations, n_first)
        self._left = n_first + n_second
        self._sums: Any = None
        self._squares: Any = None

    def add(self, values: NDArray[np.float32], in_first: NDArray[np.bool_]) -> None:
        """Add a block of pictures, (n, pixels), and which of them belong to the first group."""
        drawn = np.empty((len(self._places), len(values)), dtype=bool)
        for i in range(len(values)):
            drawn[:, i] = self._rng.random(len(self._places)) * self._left < self._places
            self._places -= drawn[:, i]
            self._left -= 1
        # row 0 the real labels, last row everybody
        choice = np.vstack([in_first, drawn, np.ones(len(values), dtype=bool)]).astype(np.float32)
        sums, squares = choice @ values, (values.astype(np.float64) ** 2).sum(axis=0)
        self._sums = sums.astype(np.float64) if self._sums is None else self._sums + sums
        self._squares = squares if self._squares is None else self._squares + squares

    def result(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Difference of the means, t, and p of the largest |t| of all pixels (Nichols & Holmes 2002)."""
        t = self._t(self._sums[0])
        largest = np.sort([np.abs(self._t(row)).max() for row in self._sums[1:-1]])
        reached = len(largest) - np.searchsorted(largest, np.abs(t), side="left")
        n_first, n_second = self._sizes
        difference = self._sums[0] / n_first - (self._sums[-1] - self._sums[0]) / n_second
        return difference, t, (1 + reached) / (1 + len(largest))

    def _t(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        n_first, n_second = self._sizes
        first, second = sums / n_first, (self._sums[-1] - sums) / n_second
        within = np.maximum(self._squares - n_first * first**2 - n_second * second**2, 0)
        # a thousandth of a grey level: a pixel that never varies has no difference, not an infinite one
        error = np.sqrt(within / (n_first + n_second - 2) * (1 / n_first + 1 / n_second)) + 1e-3
        return (first - second) / error


def principal_components(
    batches: Iterator[NDArray[np.float32]], n_components: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Mean, unit components, standard deviations and shares of variance (Ross et al. 2008).

    Parameters
    ----------
    batches
        Blocks of flat pictures, (n, pixels), each of at least `n_components`.
    n_components
        How many components.
    """
    from sklearn.decomposition import IncrementalPCA

    model = IncrementalPCA(n_components)
    for batch in batches:
        model.partial_fit(batch)
    parts = (
        model.mean_,
        model.components_,
        np.sqrt(model.explained_variance_),
        model.explained_variance_ratio_,
    )
    return tuple(np.asarray(part, dtype=np.float32) for part in parts)
