"""One progress bar for long work: rows done, rate, time left, failures.

`Store.build` opens the bar. Stage functions only call :func:`advance`, which does nothing while no bar is open.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

from facestats.core.shown_text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN_BARS = "FACESTATS_PLAIN_BARS"  # environment variable: bars of text also in Jupyter, so that they can be passed on
_current: ContextVar[Any] = ContextVar("facestats_bar", default=None)


@contextmanager
def progress_bar(label: str, total: int, *, show: bool = True) -> Iterator[None]:
    """Show a bar named `label` over `total` rows while the block runs."""
    tqdm = _tqdm()
    with tqdm(total=total, desc=label, unit="row", disable=not show, mininterval=0.5) as bar:
        bar.failed = 0
        token = _current.set(bar)
        try:
            yield
        finally:
            _current.reset(token)


def advance(rows: int, *, failed: int = 0) -> None:
    """Advance the open bar by `rows`, of which `failed` have a failure status."""
    bar = _current.get()
    if bar is None:
        return
    if failed:
        bar.failed += failed
        bar.set_postfix(failed=bar.failed, refresh=False)
    bar.update(rows)


def position() -> int:
    """Return the number of rows done on the open bar, 0 if no bar is open."""
    bar = _current.get()
    return 0 if bar is None else int(bar.n)


@contextmanager
def no_bar() -> Iterator[None]:
    """Hide the open bar from the stage functions that the block calls."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def say(text: str, *, show: bool = True, file: TextIO | None = None) -> None:
    """Print a text above an open bar, to standard output unless `file` is given; a terminal obeys nothing in it."""
    if show:
        _tqdm().write(visible(text), file=file)


def _tqdm() -> Any:
    """Import tqdm without its warning that notebook widgets are not installed; the plain bar is then used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if os.environ.get(PLAIN_BARS):
            from tqdm import tqdm
        else:
            from tqdm.auto import tqdm
    return tqdm
