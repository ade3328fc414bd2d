"""Regressors of ratings: ridge (scikit-learn) and a small network (torch); both return plain arrays of layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facestats.core.config import RatingsSettings
    from facestats.core.protocols import Layers, Regressor

INNER_FOLDS = 5
EPOCHS_PER_CHECK = 5  # epochs between two measurements of the held-out error


def regressor(settings: RatingsSettings) -> Regressor:
    """Make the regressor that the settings name.

    Parameters
    ----------
    settings
        `regressor` is used: ``ridge`` or ``mlp``.

    Returns
    -------
    What :func:`ridge` or :func:`mlp` returns by default; for :func:`facestats.fit_ratings`.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import RatingsSettings
    >>> fs.models.regressor(RatingsSettings(regressor="mlp"))
    Mlp(hidden=16, decays=(0.1, 1.0), epochs=100)
    """
    return mlp() if settings.regressor == "mlp" else ridge()


def ridge(*, alphas: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)) -> Ridge:
    """Make a linear regression with a penalty on the squared weights (Hoerl and Kennard 1970).

    Parameters
    ----------
    alphas
        Penalties, above 0; inner cross-validation chooses one of them.

    Returns
    -------
    A regressor for :func:`facestats.fit_ratings`.

    Examples
    --------
    >>> import facestats as fs
    >>> fs.models.ridge(alphas=(1.0, 10.0)).name
    'ridge alphas [1.0, 10.0]'
    """
    return Ridge(alphas)


def mlp(*, hidden: int = 16, decays: tuple[float, ...] = (0.1, 1.0), epochs: int = 100) -> Mlp:
    """Make a small network: one hidden layer of tanh units, trained by AdamW (Loshchilov and Hutter 2019).

    Parameters
    ----------
    hidden
        Number of hidden units.
    decays
        Weight decays; inner cross-validation chooses one of them.
    epochs
        Highest number of passes over the data; inner cross-validation chooses when to stop.

    Returns
    -------
    A regressor for :func:`facestats.fit_ratings`.

    Examples
    --------
    >>> import facestats as fs
    >>> fs.models.mlp(hidden=8)
    Mlp(hidden=8, decays=(0.1, 1.0), epochs=100)
    """
    return Mlp(hidden, decays, epochs)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression (protocol `Regressor`).

    Parameters
    ----------
    alphas
        Penalties to choose from.

    Examples
    --------
    >>> import numpy as np
    >>> import facestats as fs
    >>> features = np.arange(20.0)[:, None]
    >>> layers = fs.models.ridge().fit(features, 2 * features[:, 0] + 1, groups=np.arange(20), seed=0)
    >>> [(weight.shape, bias.shape) for weight, bias in layers]
    [((1, 1), (1,))]
    """

    alphas: tuple[float, ...]

    @property
    def name(self) -> str:
        """Kind and settings."""
        return f"ridge alphas {list(self.alphas)}"

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        *,
        groups: NDArray[np.int64],
        seed: int,
    ) -> Layers:
        """Fit with the penalty that predicts held-out groups best.

        Parameters
        ----------
        features
            (n, p) float64.
        target
            (n,) float64.
        groups
            Group of each row, (n,) int64; rows of one group are never on both sides of an inner split.
        seed
            Not used: the fit is deterministic.

        Returns
        -------
        One layer: weights (p, 1) and bias (1,), float64.
        """
        from sklearn.linear_model import Ridge as Linear
        from sklearn.model_selection import GridSearchCV, GroupKFold

        axes = _principal_axes(features)  # a rotation does not change ridge regression
        folds = GroupKFold(min(INNER_FOLDS, len(np.unique(groups))))
        search = GridSearchCV(
            Linear(), {"alpha": list(self.alphas)}, cv=folds, scoring="neg_mean_squared_error"
        )
        best = search.fit(features @ axes, target, groups=groups).best_estimator_
        return [((axes @ best.coef_)[:, None], np.array([best.intercept_]))]


@dataclass(frozen=True)
class Mlp:
    """A network with one hidden layer of tanh units (protocol `Regressor`).

    Parameters
    ----------
    hidden
        Number of hidden units.
    decays
        Weight decays to choose from.
    epochs
        Highest number of passes over the data.
    """

    hidden: int
    decays: tuple[float, ...]
    epochs: int

    @property
    def name(self) -> str:
        """Kind and settings."""
        return f"mlp hidden {self.hidden}, decays {list(self.decays)}, epochs {self.epochs}"

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        *,
        groups: NDArray[np.int64],
        seed: int,
    ) -> Layers:
        """Fit on all rows with the weight decay and the number of epochs that predict held-out groups best.

        Parameters
        ----------
        features
            (n, p) float64.
        target
            (n,) float64.
        groups
            Group of each row, (n,) int64; rows of one group are never on both sides of an inner split.
        seed
            Fixes the first weights; the random state of torch is restored afterwards.

        Returns
        -------
        Two layers: weights (p, hidden) and (hidden, 1), biases (hidden,) and (1,), float64.
        """
        from sklearn.model_selection import GroupKFold

        level, scale = target.mean(), max(float(target.std()), 1e-12)
        scaled, axes = (target - level) / scale, _principal_axes(features)
        features = features @ axes
        loss = np.zeros((len(self.decays), self.epochs // EPOCHS_PER_CHECK))
        folds = GroupKFold(min(INNER_FOLDS, len(np.unique(groups))))
        for train, test in folds.split(features, groups=groups):
            for i, decay in enumerate(self.decays):
                held_out = (features[test], scaled[test])
                loss[i] += self._train(
                    features[train], scaled[train], decay, seed=seed, epochs=self.epochs, held_out=held_out
                )[1]
        best, checks = np.unravel_index(loss.argmin(), loss.shape)
        epochs = EPOCHS_PER_CHECK * (int(checks) + 1)
        layers, _ = self._train(features, scaled, self.decays[best], seed=seed, epochs=epochs)
        (first, second) = layers
        return [(axes @ first[0], first[1]), (second[0] * scale, second[1] * scale + level)]

    def _train(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        decay: float,
        *,
        seed: int,
        epochs: int,
        held_out: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> tuple[Layers, list[float]]:
        """Train on all rows at once; return the layers, and the held-out squared error at every check."""
        import torch
        from torch import nn

        def tensor(values: NDArray[np.float64]) -> Any:
            return torch.as_tensor(values, dtype=torch.float32)

        losses: list[float] = []
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also seed the GPUs, for good
            network = nn.Sequential(
                nn.Linear(features.shape[1], self.hidden), nn.Tanh(), nn.Linear(self.hidden, 1)
            )
            optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=decay)
            x, y = tensor(features), tensor(target)
            for epoch in range(1, epochs + 1):
                optimizer.zero_grad()
                (network(x)[:, 0] - y).square().mean().backward()
                optimizer.step()
                if held_out is not None and epoch % EPOCHS_PER_CHECK == 0:
                    with torch.inference_mode():
                        losses.append(
                            float((network(tensor(held_out[0]))[:, 0] - tensor(held_out[1])).square().sum())
                        )
        parts = [p.detach().double().numpy() for p in network.parameters()]
        return [(parts[0].T, parts[1]), (parts[2].T, parts[3])], losses


def _principal_axes(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all principal axes, (features, rank): nothing is lost, and with few faces there are few of them."""
    _, singular, axes = np.linalg.svd(features, full_matrices=False)
    return axes[singular > 1e-10 * max(singular[0], 1e-30)].T
