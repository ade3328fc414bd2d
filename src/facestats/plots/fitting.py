"""Texts that fit: wrapped to a width on paper, and names shortened where they differ least."""

from __future__ import annotations

import textwrap

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from facestats.core.shown_text import visible

MOST = 60  # characters per line, at most


def text_width(text: str, size: float) -> float:
    """Return the width of the widest line of `text` in points."""
    font = FontProperties(size=size)
    lines = [line for line in text.split("\n") if line.strip()]
    return max(
        (text_to_path.get_text_width_height_descent(x, font, ismath=False)[0] for x in lines), default=0.0
    )


def wrap_text(text: str, *, points: float, size: float, n_lines: int = 6) -> str:
    """Break the lines of `text` so that each is at most `points` wide; what is too long ends with an ellipsis."""
    wrapped = [part for line in visible(text).split("\n") for part in _wrap_line(line, points, size)]
    if len(wrapped) > n_lines:
        wrapped = [*wrapped[: n_lines - 1], wrapped[n_lines - 1][:-1] + "\u2026"]
    return "\n".join(wrapped)


def shorten_middle(text: str, width: int) -> str:
    """Shorten `text` to `width` characters in its middle: the start and the end of a file name say the most."""
    text = visible(text, one_line=True)
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}\u2026{text[len(text) - end :]}"


def _wrap_line(line: str, points: float, size: float) -> list[str]:
    if text_width(line, size) <= points:
        return [line]
    for width in range(min(MOST, len(line)), 1, -1):
        lines = textwrap.wrap(line, width)
        if text_width("\n".join(lines), size) <= points:
            return lines
    return textwrap.wrap(line, 1)
