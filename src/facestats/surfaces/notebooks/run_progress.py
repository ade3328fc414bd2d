"""Show the progress inside a cell in the terminal of ``facestats run``: rows done, rate, time left, failures.

The bars of a stage are text that the kernel writes to its standard error. papermill hands on this text, and the last bar
in it becomes a line: below the bar of the cells in a terminal, else a line of its own every half minute.
"""

from __future__ import annotations

import re
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from facestats.core.progress import PLAIN_BARS, say

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 30.0  # between two lines where there is no terminal
KERNEL_VARIABLES = {PLAIN_BARS: "1"}  # widgets, the bars of Jupyter, would not reach the standard error
# embeddings:  48%|####8     | 120/250 [00:09<00:10, 12.9row/s, failed=2]
_BAR = re.compile(
    r"(?P<label>[^\r\n:]+):\s+\d+%\|[^|\r\n]*\|\s*(?P<done>[^\s/]+)/(?P<total>\S+)"
    r" \[[\d:]+<(?P<left>[\d:?]+),\s*(?P<rate>[^\],\s]+)(?:, (?P<rest>[^\]\r\n]*))?\]"
)


class StageProgress:
    """A file for the standard error of a kernel; it shows the last bar that is written to it, and nothing else.

    Parameters
    ----------
    stream
        Where to show it.
    seconds
        Time between two lines, in seconds, if `stream` is no terminal.
    """

    def __init__(self, stream: TextIO, *, seconds: float = SECONDS) -> None:
        self.stream, self.seconds = stream, seconds
        self._next = time.monotonic() + seconds
        self._line: Any = None

    def write(self, text: str) -> int:
        """Show the last bar in `text`, if there is one."""
        bars = list(_BAR.finditer(text))
        if bars:
            self._show(bars[-1])
        return len(text)

    def flush(self) -> None:
        """Do nothing: every line is shown at once."""

    def close(self) -> None:
        """Remove the line from the terminal."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _show(self, bar: re.Match[str]) -> None:
        is_done = bar["done"] == bar["total"]
        if self.stream.isatty():
            if self._line is None:
                from tqdm import tqdm

                self._line = tqdm(file=self.stream, bar_format="{desc}", position=1, leave=False)
            self._line.set_description_str("" if is_done else describe_bar(bar))
        elif not is_done and time.monotonic() >= self._next:
            self._next = time.monotonic() + self.seconds
            say(describe_bar(bar), file=self.stream)


def describe_bar(bar: re.Match[str]) -> str:
    """Put a bar into words, such as ``embeddings: 120 of 250, 12.9 row/s, 00:10 left, failed=2``."""
    rate = re.sub(r"(?<=[\d.])(?=[a-z])", " ", bar["rate"], count=1)
    rest = f", {bar['rest']}" if bar["rest"] else ""
    return f"{bar['label'].strip()}: {bar['done']} of {bar['total']}, {rate}, {bar['left']} left{rest}"


@contextmanager
def show_stage_progress(stream: TextIO | None = None) -> Iterator[StageProgress]:
    """Give a file for the standard error of a kernel, while the block runs; by default shown on this process's own."""
    progress = StageProgress(stream or sys.stderr)
    try:
        yield progress
    finally:
        progress.close()
