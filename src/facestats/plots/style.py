"""One style for all figures: colors that color-blind readers can distinguish, and sizes for the width of a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from facestats.core.shown_text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito (2008), without their yellow, which is too pale on white
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F5F3F", "#000000")
MARKERS = ("o", "^", "s")  # further looks if there are more categories than colors
BLUE, ORANGE, GREY, DARK = COLORS[0], COLORS[5], "#B8B8B8", "#333333"
SEQUENTIAL = "cividis"
DIVERGING = "PuOr_r"
WIDTH = 7.0  # inches: the width of a notebook's column
RASTER_FROM = 50_000  # points: more of them are drawn as one picture inside vector formats
TEXT = 9  # points
_NAMED = (FixedFormatter, FuncFormatter)  # of an axis whose ticks have names


def new_axes(ax: Axes | None, *, height: float = 4.0, width: float = WIDTH) -> Axes:
    """Return `ax`, or the Axes of a new figure."""
    if ax is not None:
        return ax
    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def finish(ax: Axes, *, title: str = "", xlabel: str = "", ylabel: str = "") -> Axes:
    """Set the title and the labels of a chart, and hide the frame above and to the right."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=TEXT)
    ax.set_xlabel(xlabel, fontsize=TEXT + 1)
    ax.set_ylabel(ylabel, fontsize=TEXT + 1)
    ax.set_title(title, fontsize=TEXT + 2, loc="left")
    return as_written(ax)


def name_groups(ax: Axes, title: str) -> None:
    """Draw the legend of groups beside the chart, where no bar or interval covers its numbers."""
    ax.legend(title=title, frameon=False, fontsize=TEXT, loc="upper left", bbox_to_anchor=(1, 1))
    as_written(ax)


def finish_picture(ax: Axes, *, title: str = "") -> Axes:
    """Set the title of a picture, and hide frame and ticks."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=TEXT + 2, loc="left")
    return as_written(ax)


def as_written(ax: Axes) -> Axes:
    """Draw each text of the chart as it is written: names hold dollar signs, which matplotlib takes for formulas.

    Control characters and marks of direction, for which fonts have no sign, are written as escapes. Texts that are added
    later need another call.
    """
    drawn = [*ax.images, *ax.collections]
    bars = [part.colorbar.ax for part in drawn if getattr(part, "colorbar", None) is not None]
    for one in (ax, *bars):
        # numbers on an axis may be formulas of matplotlib itself, such as powers of ten; named ticks are names
        numbers = [
            axis for axis in (one.xaxis, one.yaxis) if not isinstance(axis.get_major_formatter(), _NAMED)
        ]
        kept = {text for axis in numbers for text in axis.findobj(Text) if text is not axis.label}
        for text in set(one.findobj(Text)) - kept:
            text.set_parse_math(False)
            text.set_text("\n".join(visible(line, one_line=True) for line in text.get_text().split("\n")))
    return ax


def draw_nothing(ax: Axes | None, text: str, *, title: str = "") -> Axes:
    """Write why there is nothing to draw, because an empty table should not stop a notebook."""
    ax = new_axes(ax, height=1.0)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=TEXT + 1)
    return finish_picture(ax, title=title)


def look(i: int) -> tuple[str, str]:
    """Return color and marker of the i-th category; they repeat after 24."""
    return COLORS[i % len(COLORS)], MARKERS[i // len(COLORS) % len(MARKERS)]
