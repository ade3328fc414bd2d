"""Cut long texts into windows at sentence ends, so that a model of limited length reads all of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# ends of sentences; where a sentence is too long, weaker breaks: ends of clauses, then spaces
_BREAKS = (
    "(?<=[.!?\u2026\u3002\uff01\uff1f])\\s+|\n+",
    "(?<=[,;:\u3001\uff0c\uff1b])\\s*",
    "\\s+",
)


def split_text(text: str, limit: int, count: Callable[[str], int]) -> list[str]:
    """Cut a text into windows of at most `limit` tokens, at sentence ends where possible.

    Neighbouring sentences share a window if they fit. A sentence that does not fit alone is cut at commas,
    then between words, then inside a word. Nothing is left out.

    Parameters
    ----------
    text
        Any text.
    limit
        Highest number of tokens in a window, at least 1.
    count
        Function that returns the number of tokens of a text.

    Returns
    -------
    The windows in order; the text itself if it fits.
    """
    if limit < 1:
        msg = f"a window holds at least one token, got a limit of {limit}"
        raise ValueError(msg)
    if count(text) <= limit:
        return [text]
    windows: list[str] = []
    for piece in _pieces(text, limit, count):
        joined = f"{windows[-1]} {piece}" if windows else piece
        if windows and count(joined) <= limit:
            windows[-1] = joined
        else:
            windows.append(piece)
    return windows


def _pieces(
    text: str, limit: int, count: Callable[[str], int], *, breaks: tuple[str, ...] = _BREAKS
) -> Iterator[str]:
    """Yield parts of at most `limit` tokens, cut at the strongest breaks that suffice."""
    if count(text) <= limit or len(text) == 1:
        yield text
        return
    if breaks:
        parts = [part for part in re.split(breaks[0], text) if part.strip()]
        for part in parts:
            yield from _pieces(part.strip(), limit, count, breaks=breaks[1:])
        return
    middle = len(text) // 2
    for half in (text[:middle], text[middle:]):
        yield from _pieces(half, limit, count, breaks=())
