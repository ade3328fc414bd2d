"""One progress bar for long work: rows, rate, time left, failures.

`store.build` opens the bar; stage functions only call :func:`advance`, which does nothing when no bar is open.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """Move the open bar by `rows`, of which `failed` did not succeed."""
    bar = _current.get()
    if bar is None:
        return
    if failed:
        bar.failed += failed
        bar.set_postfix(failed=bar.failed, refresh=False)
    bar.update(rows)


def position() -> int:
    """Rows done so far on the open bar, 0 when there is none."""
    bar = _current.get()
    return 0 if bar is None else int(bar.n)


@contextmanager
def no_bar() -> Iterator[None]:
    """Hide the open bar from stage functions that are steps of one row's work."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def say(text: str, *, show: bool = True, file: TextIO | None = None) -> None:
    """Write one line where the user looks (standard output unless `file` says another), without tearing a bar."""
    if show:
        _tqdm().write(text, file=file)


def _tqdm() -> Any:
    """Import tqdm without its remark that notebook widgets are not installed: the plain bar will do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm
