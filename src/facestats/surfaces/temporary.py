"""Temporary folders that are gone when the program is, wherever it was stopped."""

from __future__ import annotations

import atexit
import functools
import secrets
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_alive: set[Path] = set()


@contextmanager
def temporary_folder(prefix: str = "facestats-") -> Iterator[Path]:
    """Give a folder that only this user may read, for as long as the block lasts.

    It is noted before it is made and until it is gone: Ctrl-C may strike while :mod:`tempfile` makes or clears one,
    which then stays.

    Raises
    ------
    OSError
        If no place for temporary files can be written.
    """
    try:
        folder = Path(tempfile.gettempdir(), prefix + secrets.token_urlsafe(6))  # short: sockets lie there
        folder.parent.stat()
    except FileNotFoundError as error:  # an input that is missing is another matter
        msg = "there is no folder for temporary files that can be written: set TMPDIR, or make room"
        raise OSError(msg) from error
    _clear_at_exit()
    _alive.add(folder)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        if folder.exists():
            shutil.rmtree(folder)
        _alive.discard(folder)


@functools.cache
def _clear_at_exit() -> None:
    atexit.register(_clear)


def _clear() -> None:
    for folder in list(_alive):
        shutil.rmtree(folder, ignore_errors=True)
