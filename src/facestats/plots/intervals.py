"""Points with intervals: how every chart draws an estimate and its uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.plots.style import BLUE, TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray


def draw_intervals(
    ax: Axes,
    value: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    at: ArrayLike | None = None,
    vertical: bool = False,
    colors: str | Sequence[str] = BLUE,
    filled: Sequence[bool] | None = None,
    **style: Any,
) -> None:
    """Draw points with intervals on `ax`.

    Parameters
    ----------
    ax
        Axes to draw on.
    value, low, high
        Estimates and the ends of their intervals; a missing estimate is not drawn, a missing end has no line.
    at
        Where they are on the other axis; by default 0, 1, 2 and so on.
    vertical
        Whether the values are on the y axis.
    colors
        One color for all, or one for each point.
    filled
        Which markers are filled; by default all.
    style
        Further keywords of ``Axes.errorbar``, such as `label`; ``fmt="none"`` draws the intervals alone.
    """
    values, lows, highs = (_as_numbers(numbers) for numbers in (value, low, high))
    places = np.arange(len(values)) if at is None else _as_numbers(at)
    # rounding can put an end on the wrong side of the estimate, which errorbar refuses
    error = np.nan_to_num(np.clip(np.stack([values - lows, highs - values]), 0, None))
    names = np.array([colors] * len(values) if isinstance(colors, str) else list(colors), dtype=object)
    inside = np.ones(len(values), dtype=bool) if filled is None else np.array(filled, dtype=bool)
    looks = (
        [(colors, True)]
        if isinstance(colors, str) and filled is None
        else list(zip(names, inside, strict=True))
    )
    for color, full in dict.fromkeys(looks):
        rows = (names == color) & (inside == full)
        x, y = (places[rows], values[rows]) if vertical else (values[rows], places[rows])
        ax.errorbar(
            x,
            y,
            **{"yerr" if vertical else "xerr": error[:, rows]},
            **{"fmt": "o", "markersize": 5, "capsize": 2, "color": color} | style,
            markerfacecolor=color if full else "white",
        )


def name_rows(ax: Axes, names: Sequence[str] | None, *, n: int) -> None:
    """Write the names of `n` rows, the first at the top; None where they are too many to write."""
    ax.set_yticks([] if names is None else range(n), [] if names is None else names, fontsize=TEXT)
    ax.set_ylim(max(n, 1) - 0.5, -0.5)  # an axis of no rows has a height too


def _as_numbers(values: ArrayLike) -> NDArray[np.float64]:
    """Convert a column or an array to float64, null to NaN."""
    if isinstance(values, pl.Series):
        return values.cast(pl.Float64).to_numpy()
    return np.asarray(values, dtype=np.float64)
