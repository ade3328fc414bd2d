"""One style for all figures: colours that colour-blind readers tell apart, sizes for a notebook's width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito 2008, the yellow left out: it is too pale on white
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F5F3F", "#000000")
MARKERS = ("o", "^", "s")  # a second look where there are more categories than colours
BLUE, ORANGE, GREY = COLORS[0], COLORS[5], "#B8B8B8"
SEQUENTIAL = "cividis"
DIVERGING = "PuOr_r"
WIDTH = 7.0  # inches: the width of a notebook's column
RASTER_FROM = 50_000
TEXT = 9


def new_axes(ax: Axes | None, *, height: float = 4.0, width: float = WIDTH) -> Axes:
    """Return `ax`, or the Axes of a new figure."""
    if ax is not None:
        return ax
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def finish(ax: Axes, *, title: str = "", xlabel: str = "", ylabel: str = "") -> Axes:
    """Give a chart its title, labels and quiet frame."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=TEXT)
    ax.set_xlabel(xlabel, fontsize=TEXT + 1)
    ax.set_ylabel(ylabel, fontsize=TEXT + 1)
    ax.set_title(title, fontsize=TEXT + 2, loc="left")
    return ax


def name_groups(ax: Axes, title: str) -> None:
    """Put the legend of groups beside the chart, where no bar or interval runs through its numbers."""
    ax.legend(title=title, frameon=False, fontsize=TEXT, loc="upper left", bbox_to_anchor=(1, 1))


def finish_picture(ax: Axes, *, title: str = "") -> Axes:
    """Give a picture its title and take away the frame."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=TEXT + 2, loc="left")
    return ax


def draw_nothing(ax: Axes | None, text: str, *, title: str = "") -> Axes:
    """Say in words why there is nothing to draw: an empty collection is no reason to stop."""
    ax = new_axes(ax, height=1.0)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=TEXT + 1)
    return finish_picture(ax, title=title)


def look(i: int) -> tuple[str, str]:
    """Colour and marker of the i-th category; they repeat after 24."""
    return COLORS[i % len(COLORS)], MARKERS[i // len(COLORS) % len(MARKERS)]
