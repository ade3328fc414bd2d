"""Statistics of any number of pictures in fixed memory: mean, spread, principal components, tests of differences."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


# grey levels, added to each error: without it, t of a pixel that never varies would be undefined
_LEAST_SPREAD = 1e-3
N_KEPT, KEPT_PER_COMPONENT = 64, 8  # components kept between batches, of which the first are returned


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


class GroupSums:
    """Sums of two groups, as they are and with random signs, in one pass over the pictures.

    The test of their difference is a wild bootstrap (Wu 1986; Mammen 1993): the deviation of each picture from the mean
    of its group keeps or changes its sign at random. Groups of unequal size and spread keep the level, which an exchange
    of their labels does not give them. The memory of 2 x (resamples + 2) pictures is needed, for any number of
    pictures.
    """

    def __init__(self, *, n_resamples: int, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._centre: NDArray[np.float32] | None = None  # mean of the first block, against rounding errors
        # for each group: number of pictures, sums of squares, sums of pictures and of signs; row 0 has no random signs
        self._n = np.zeros(2, dtype=np.int64)
        self._squares = [np.zeros(1), np.zeros(1)]
        self._sums = [np.zeros((n_resamples + 1, 1)) for _ in range(2)]
        self._signs = [np.zeros((n_resamples + 1, 1)) for _ in range(2)]

    def add(self, values: NDArray[np.float32], in_first: NDArray[np.bool_]) -> None:
        """Add a block of pictures, (n, pixels); `in_first`, (n,), tells which belong to the first group."""
        if self._centre is None:
            self._centre = values.mean(axis=0)
        n_resamples = len(self._sums[0]) - 1
        signs = np.ones((n_resamples + 1, len(values)), dtype=np.float32)
        # drawn picture by picture: the size of the blocks makes no difference
        signs[1:] = np.where(self._rng.random((len(values), n_resamples)) < 0.5, -1, 1).T
        for group, members in enumerate((in_first, ~in_first)):
            part = values[members] - self._centre
            self._n[group] += len(part)
            self._squares[group] = self._squares[group] + (part.astype(np.float64) ** 2).sum(axis=0)
            self._sums[group] = self._sums[group] + signs[:, members] @ part
            self._signs[group] = self._signs[group] + signs[:, members].sum(axis=1, keepdims=True)

    def result(
        self,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Difference of the means, Welch's t, p, and the standardised difference (Hedges' g), each per pixel.

        p is corrected for the number of pixels by the largest |t| of each resample (Westfall & Young 1993).
        """
        n = self._n[:, None]
        means = np.array([sums[0] / k for sums, k in zip(self._sums, self._n, strict=True)])
        within = np.maximum(np.array(self._squares) - n * means**2, 0)
        difference = means[0] - means[1]
        t = self._t(means, within)
        largest = np.sort([np.abs(self._t(*drawn)).max() for drawn in self._resampled(means, within)])
        reached = len(largest) - np.searchsorted(largest, np.abs(t), side="left")
        total = int(self._n.sum())
        sd = np.sqrt(within.sum(axis=0) / (total - 2)) + _LEAST_SPREAD
        size = difference / sd * (1 - 3 / (4 * total - 9))
        return difference, t, (1 + reached) / (1 + len(largest)), size

    def _resampled(
        self, means: NDArray[np.float64], within: NDArray[np.float64]
    ) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
        """Yield for each resample means and sums of squared deviations, (2, pixels), of deviations with random signs."""
        n = self._n[:, None]
        scale = n / (n - 1)  # of the squares: it makes their expectation that of independent errors
        for i in range(1, len(self._sums[0])):
            drawn = np.array(
                [
                    sums[i] - signs[i] * mean
                    for sums, signs, mean in zip(self._sums, self._signs, means, strict=True)
                ]
            )
            drawn = drawn / n * np.sqrt(scale)
            yield drawn, np.maximum(scale * within - n * drawn**2, 0)

    def _t(self, means: NDArray[np.float64], within: NDArray[np.float64]) -> NDArray[np.float64]:
        """Welch's t per pixel of two means, from the sums of squared deviations."""
        n = self._n[:, None]
        return (means[0] - means[1]) / (np.sqrt((within / (n * (n - 1))).sum(axis=0)) + _LEAST_SPREAD)


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

    model: IncrementalPCA | None = None
    for batch in batches:
        if model is None:
            # what is cut between two batches is lost: more components are kept than are asked for
            kept = max(N_KEPT, KEPT_PER_COMPONENT * n_components)
            model = IncrementalPCA(min(kept, len(batch) - 1, batch.shape[1]))
        model.partial_fit(batch)
    if model is None:
        msg = "there are no pictures"
        raise ValueError(msg)
    return (
        np.asarray(model.mean_, dtype=np.float32),
        np.asarray(model.components_[:n_components], dtype=np.float32),
        np.asarray(np.sqrt(model.explained_variance_[:n_components]), dtype=np.float32),
        np.asarray(model.explained_variance_ratio_[:n_components], dtype=np.float32),
    )
