"""Regressors of ratings: ridge (scikit-learn) and a small network (torch); both come out as plain layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from facestats.core.protocols import Layers

INNER_FOLDS = 5
LOOK = 5  # epochs between two looks at the held-out error


def ridge(*, alphas: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)) -> Ridge:
    """Linear regression with a penalty on the squared weights; `alphas` are tried by inner cross-validation."""
    return Ridge(alphas)


def mlp(*, hidden: int = 16, decays: tuple[float, ...] = (0.1, 1.0), epochs: int = 100) -> Mlp:
    """One hidden layer of `hidden` tanh units; weight decay and stopping time are chosen on inner folds."""
    return Mlp(hidden, decays, epochs)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression (protocol `Regressor`)."""

    alphas: tuple[float, ...]

    @property
    def name(self) -> str:
        """What it is, with its settings."""
        return f"ridge alphas {list(self.alphas)}"

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        *,
        groups: NDArray[np.int64],
        seed: int,
    ) -> Layers:
        """Fit with the penalty that predicts held-out groups best; deterministic, `seed` is not used."""
        from sklearn.linear_model import Ridge as Linear
        from sklearn.model_selection import GridSearchCV, GroupKFold

        axes = _axes(features)  # ridge does not care for rotations
        folds = GroupKFold(min(INNER_FOLDS, len(np.unique(groups))))
        search = GridSearchCV(
            Linear(), {"alpha": list(self.alphas)}, cv=folds, scoring="neg_mean_squared_error"
        )
        best = search.fit(features @ axes, target, groups=groups).best_estimator_
        return [((axes @ best.coef_)[:, None], np.array([best.intercept_]))]


@dataclass(frozen=True)
class Mlp:
    """A small network (protocol `Regressor`)."""

    hidden: int
    decays: tuple[float, ...]
    epochs: int

    @property
    def name(self) -> str:
        """What it is, with its settings."""
        return f"mlp hidden {self.hidden}, decays {list(self.decays)}, epochs {self.epochs}"

    def fit(
        self,
        features: NDArray[np.float64],
        target: NDArray[np.float64],
        *,
        groups: NDArray[np.int64],
        seed: int,
    ) -> Layers:
        """Fit on everything with the decay and the number of epochs that predict held-out groups best."""
        from sklearn.model_selection import GroupKFold

        level, scale = target.mean(), max(float(target.std()), 1e-12)
        wanted, axes = (target - level) / scale, _axes(features)
        features = features @ axes
        loss = np.zeros((len(self.decays), self.epochs // LOOK))
        folds = GroupKFold(min(INNER_FOLDS, len(np.unique(groups))))
        for train, test in folds.split(features, groups=groups):
            for i, decay in enumerate(self.decays):
                held_out = (features[test], wanted[test])
                loss[i] += self._train(
                    features[train], wanted[train], decay, seed=seed, epochs=self.epochs, held_out=held_out
                )[1]
        best, epochs = np.unravel_index(loss.argmin(), loss.shape)
        layers, _ = self._train(
            features, wanted, self.decays[best], seed=seed, epochs=LOOK * (int(epochs) + 1)
        )
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
        """Train on all rows at once; return the layers, and the squared error held out after every `LOOK` epochs."""
        import torch
        from torch import nn

        def tensor(values: NDArray[np.float64]) -> Any:
            return torch.as_tensor(values, dtype=torch.float32)

        losses: list[float] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = nn.Sequential(
                nn.Linear(features.shape[1], self.hidden), nn.Tanh(), nn.Linear(self.hidden, 1)
            )
            steps = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=decay)
            x, y = tensor(features), tensor(target)
            for epoch in range(1, epochs + 1):
                steps.zero_grad()
                (network(x)[:, 0] - y).square().mean().backward()
                steps.step()
                if held_out is not None and epoch % LOOK == 0:
                    with torch.inference_mode():
                        losses.append(
                            float((network(tensor(held_out[0]))[:, 0] - tensor(held_out[1])).square().sum())
                        )
        parts = [p.detach().double().numpy() for p in network.parameters()]
        return [(parts[0].T, parts[1]), (parts[2].T, parts[3])], losses


def _axes(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Principal axes, (features, rank): they hold all there is, and are far fewer where faces are few."""
    _, singular, axes = np.linalg.svd(features, full_matrices=False)
    return axes[singular > 1e-10 * max(singular[0], 1e-30)].T
