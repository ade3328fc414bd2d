"""Simulations with known truth: how often intervals hold it, and how often tests reject where nothing differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

# what counts as right: intervals hold the truth about as often as they say, tests reject seldom enough
BOUNDS = {"coverage": (0.93, 1.0), "level": (0.0, 0.07)}


@dataclass(frozen=True)
class Case:
    """A simulation.

    Parameters
    ----------
    point
        The statistic.
    case
        What is drawn.
    kind
        ``coverage`` of a 95 % interval, or ``level`` of a test at 5 %.
    draw
        Draws once, and returns whether the interval held the truth, or whether the test rejected.
    """

    point: str
    case: str
    kind: str
    draw: Callable[[np.random.Generator], bool]

    def measure(self, n_draws: int, *, seed: int = 0) -> float:
        """Share of draws in which it happened."""
        return float(np.mean([self.draw(np.random.default_rng([seed, i])) for i in range(n_draws)]))

    def is_right(self, measured: float, n_draws: int) -> bool:
        """Whether the share is within the bounds, or as near to them as chance explains (three standard errors)."""
        low, high = BOUNDS[self.kind]
        slack = 3 * np.sqrt(0.05 * 0.95 / n_draws) if n_draws < 500 else 0.0
        return low - slack <= measured <= high + slack
