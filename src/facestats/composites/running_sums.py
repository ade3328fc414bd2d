"""Statistics of any number of pictures in fixed memory: mean, spread, principal components, permutation tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Moments:
    """Weighted mean and standard deviation per pixel, from running sums.

    Pixels are integers, so the float64 sums are exact if all weights are one (up to 10^11 pictures). The result then
    does not depend on the order of the pictures.
    """

    def __init__(self) -> None:
        self.n = 0
        self.weight = 0.0
        self._sum = np.zeros(0)  # of the shape of a picture from the first one on
        self._squares = np.zeros(0)

    def add(self, pixels: NDArray[np.uint8], *, weight: float = 1.0) -> None:
        """Add one picture, (height, width, 3) uint8."""
        import cv2

        if self.n == 0:
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
        """Weighted mean, (height, width, 3), in grey levels."""
        return self._sum / self.weight

    def sd(self) -> NDArray[np.float64]:
        """Population standard deviation over the pictures, (height, width): root mean square of the channels."""
        variance = np.maximum(self._squares / self.weight - self.mean() ** 2, 0)
        return np.sqrt(variance.mean(axis=-1))


class PermutedSums:
    """Sums of the first of two groups, for the real labels and for many permutations, in one pass over the pictures.

    Every permutation keeps the sizes of the groups: a picture joins the first group with the probability (free places
    / pictures to come), so that all assignments are equally likely (Fan, Muller & Rezucha 1962). The memory of
    (permutations + 3) pictures is needed, for any number of pictures.
    """

    def __init__(self, n_first: int, n_second: int, *, n_permutations: int, seed: int) -> None:
        self._sizes = (n_first, n_second)
        self._rng = np.random.default_rng(seed)
        self._free_places = np.full(n_permutations, n_first)
        self._pictures_to_come = n_first + n_second
        self._sums = np.zeros((n_permutations + 2, 1))
        self._squares = np.zeros(1)

    def add(self, values: NDArray[np.float32], in_first: NDArray[np.bool_]) -> None:
        """Add a block of pictures, (n, pixels); `in_first`, (n,), tells which belong to the first group."""
        permuted = np.empty((len(self._free_places), len(values)), dtype=bool)
        for i in range(len(values)):
            draws = self._rng.random(len(self._free_places))
            permuted[:, i] = draws * self._pictures_to_come < self._free_places
            self._free_places -= permuted[:, i]
            self._pictures_to_come -= 1
        # row 0 holds the real labels, the last row all pictures
        members = np.vstack([in_first, permuted, np.ones(len(values), dtype=bool)]).astype(np.float32)
        sums, squares = members @ values, (values.astype(np.float64) ** 2).sum(axis=0)
        self._sums = self._sums + sums
        self._squares = self._squares + squares

    def result(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Difference of the means, t, and p corrected by the largest |t| of all pixels (Nichols & Holmes 2002)."""
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
        # a thousandth of a grey level is added: without it, t of a pixel that never varies would be undefined
        error = np.sqrt(within / (n_first + n_second - 2) * (1 / n_first + 1 / n_second)) + 1e-3
        return (first - second) / error


def principal_components(
    batches: Iterator[NDArray[np.float32]], n_components: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Compute principal components batch by batch (incremental PCA, Ross et al. 2008).

    Parameters
    ----------
    batches
        Blocks of flat pictures, (n, pixels), each of at least `n_components` pictures.
    n_components
        Number of components.

    Returns
    -------
    Mean, unit components, standard deviations and shares of variance.
    """
    from sklearn.decomposition import IncrementalPCA

    model = IncrementalPCA(n_components)
    for batch in batches:
        model.partial_fit(batch)
    return (
        np.asarray(model.mean_, dtype=np.float32),
        np.asarray(model.components_, dtype=np.float32),
        np.asarray(np.sqrt(model.explained_variance_), dtype=np.float32),
        np.asarray(model.explained_variance_ratio_, dtype=np.float32),
    )
