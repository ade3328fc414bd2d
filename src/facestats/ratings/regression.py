"""Regression on face vectors: features, cross-validation by groups, prediction intervals, and distance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from facestats.ratings.procrustes import align_shapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from facestats.core.protocols import Layers, Regressor

Arrays = dict[str, "NDArray[np.float64]"]
SHAPE = "landmarks"  # column of the landmarks
MAX_AXES = 50  # principal directions that the distance uses
TINY = 1e-12  # keeps divisors and variances above zero


@dataclass(frozen=True)
class FeatureMap:
    """Turns stored vectors, and landmarks if they are used, into the features of a regression.

    Parameters
    ----------
    columns
        Columns of vectors, in order.
    arrays
        `centre` and `scale` of all features; `mean_shape`, `shape_centre` and `shape_axes` if landmarks are used;
        `spread_axes`, `spread_values` and `spread_rest` for the distance.
    """

    columns: tuple[str, ...]
    arrays: Arrays = field(repr=False)

    @property
    def has_shapes(self) -> bool:
        """Whether landmarks are needed."""
        return "shape_axes" in self.arrays

    def apply(self, blocks: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float64]:
        """Compute the features of some faces, (n, features), from their arrays, named like the columns."""
        return (_stack_blocks(self.columns, blocks, self.arrays) - self.arrays["centre"]) / self.arrays[
            "scale"
        ]

    def distance(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of each face from the training faces; about one for an average training face.

        The squared Mahalanobis distance within the principal directions and the squared distance from their
        subspace are added (Moghaddam & Pentland 1997, equation 14) and divided by the number of features; the
        square root of that is returned.
        """
        axes, values, rest = (self.arrays[f"spread_{k}"] for k in ("axes", "values", "rest"))
        inside = features @ axes
        outside = np.maximum((features**2).sum(axis=1) - (inside**2).sum(axis=1), 0)
        total = (inside**2 / values).sum(axis=1) + outside / rest
        return np.sqrt(total / features.shape[1])


def fit_features(blocks: Mapping[str, NDArray[np.floating]], *, n_shape: int) -> FeatureMap:
    """Learn centre, scale and principal directions from the training faces.

    Each block of features (one vector column, or the first `n_shape` principal components of the aligned landmarks)
    is scaled by one factor. It keeps its geometry, and all blocks have the same weight.
    """
    columns = tuple(name for name in blocks if name != SHAPE)
    arrays: Arrays = {}
    if n_shape:
        aligned, arrays["mean_shape"] = align_shapes(blocks[SHAPE])
        flat = aligned.reshape(len(aligned), -1)
        arrays["shape_centre"] = flat.mean(axis=0)
        _, _, axes = np.linalg.svd(flat - arrays["shape_centre"], full_matrices=False)
        arrays["shape_axes"] = axes[: min(n_shape, len(flat) - 1)].T
    x = _stack_blocks(columns, blocks, arrays)
    widths = [blocks[c].shape[1] for c in columns] + ([arrays["shape_axes"].shape[1]] if n_shape else [])
    arrays["centre"] = x.mean(axis=0)
    x = x - arrays["centre"]
    parts = np.split(np.arange(x.shape[1]), np.cumsum(widths)[:-1])
    sizes = [max(float(np.sqrt((x[:, part] ** 2).sum(axis=1).mean())), TINY) for part in parts]
    arrays["scale"] = np.repeat(sizes, widths)
    x /= arrays["scale"]
    n_axes = max(1, min(len(x) // 5, MAX_AXES, x.shape[1] - 1))
    _, singular, axes = np.linalg.svd(x, full_matrices=False)
    values = singular**2 / len(x)
    arrays["spread_axes"], arrays["spread_values"] = axes[:n_axes].T, values[:n_axes] + TINY
    arrays["spread_rest"] = np.array([values[n_axes:].sum() / (x.shape[1] - n_axes) + TINY])
    return FeatureMap(columns, arrays)


def _stack_blocks(
    columns: tuple[str, ...], blocks: Mapping[str, NDArray[np.floating]], arrays: Mapping[str, NDArray]
) -> NDArray[np.float64]:
    parts = [blocks[c].astype(np.float64) for c in columns]
    if "shape_axes" in arrays:
        aligned, _ = align_shapes(blocks[SHAPE], arrays["mean_shape"])
        flat = aligned.reshape(len(aligned), -1) - arrays["shape_centre"]
        parts.append(flat @ arrays["shape_axes"])
    return np.hstack(parts)


def apply_layers(layers: Layers, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Predict from fitted layers, (n,): affine maps with tanh between them; ridge has a single map and no tanh."""
    out = features
    for i, (weight, bias) in enumerate(layers):
        out = (np.tanh(out) if i else out) @ weight + bias
    return out[:, 0]


@dataclass(frozen=True)
class HeldOut:
    """Results of cross-validation for every face, from models that were not trained on it; each (n,).

    Parameters
    ----------
    predicted
        Prediction, scale points.
    distance
        Distance from the training faces, see :meth:`FeatureMap.distance`.
    fold
        Number of the fold that held the face.
    baseline
        Mean rating of the training faces, which a model that learned nothing predicts.
    """

    predicted: NDArray[np.float64] = field(repr=False)
    distance: NDArray[np.float64] = field(repr=False)
    fold: NDArray[np.int64] = field(repr=False)
    baseline: NDArray[np.float64] = field(repr=False)


def cross_validate(
    regressor: Regressor,
    blocks: Mapping[str, NDArray[np.floating]],
    target: NDArray[np.float64],
    *,
    groups: NDArray[np.int64],
    n_shape: int,
    n_folds: int,
    seed: int,
) -> HeldOut:
    """Predict every face by a model that saw neither the face nor its group.

    Nested cross-validation: in each fold the features are learned from the training part alone, and the regressor
    chooses its own settings by cross-validation within it.
    """
    folds = assign_folds(groups, n_folds=n_folds, seed=seed)
    predicted, distance, baseline = (np.full(len(target), np.nan) for _ in range(3))
    for k in range(n_folds):
        train, test = folds != k, folds == k
        seen = {name: block[train] for name, block in blocks.items()}
        features = fit_features(seen, n_shape=n_shape)
        layers = regressor.fit(features.apply(seen), target[train], groups=groups[train], seed=seed)
        held_out = features.apply({name: block[test] for name, block in blocks.items()})
        predicted[test], distance[test] = apply_layers(layers, held_out), features.distance(held_out)
        baseline[test] = target[train].mean()
    return HeldOut(predicted, distance, folds, baseline)


def check_folds(groups: NDArray[np.int64], n_folds: int) -> None:
    """Raise ValueError if there are fewer groups than folds."""
    if (n := len(np.unique(groups))) < n_folds:
        msg = (
            f"{n} groups are too few for {n_folds} folds. Pictures of one person, and pictures more similar"
            " than min_cosine, form one group. Lower n_folds, rate more faces, or raise min_cosine if different"
            " faces were grouped."
        )
        raise ValueError(msg)


def assign_folds(groups: NDArray[np.int64], *, n_folds: int, seed: int) -> NDArray[np.int64]:
    """Assign whole groups to folds of about equal size, in random order, large groups first."""
    check_folds(groups, n_folds)
    names, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    size, fold = np.zeros(n_folds, dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    for name in order:
        fold[name] = size.argmin()
        size[fold[name]] += counts[name]
    return fold[index]


def fit_spread(
    residual: NDArray[np.float64], distance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Model the squared held-out residual as a + b distance^2 with a, b >= 0, by non-negative least squares.

    Returns
    -------
    (a, b), and the standard deviation of each face, scale points.
    """
    from scipy.optimize import nnls

    design = np.column_stack([np.ones_like(distance), distance**2])
    found, _ = nnls(design, residual**2)
    return found, spread_at(found, distance)


def spread_at(spread: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard deviation of a prediction at some distance from the training faces."""
    return np.sqrt(np.maximum(spread[0] + spread[1] * distance**2, TINY))


def held_out_quantile(scaled: NDArray[np.float64], level: float) -> float:
    """Half width that covers the share `level` of new faces: the residual of rank (n + 1) level.

    Split conformal prediction (Vovk, Gammerman & Shafer 2005).
    """
    n = len(scaled)
    rank = min(int(np.ceil((n + 1) * level)), n)
    return float(np.sort(np.abs(scaled))[rank - 1])
