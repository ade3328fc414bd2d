"""What lasts only as long as a block: folders, log levels, environment variables and signal handlers."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import secrets
import shutil
import signal
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_BEGIN, _END = "facestats-", ".run"  # of the names of these folders
_existing: set[Path] = set()


@contextmanager
def temporary_folder(prefix: str = "facestats-") -> Iterator[Path]:
    """Make a folder that only this user can read, and remove it when the block ends.

    The folder is registered before it is made and until it is removed: Ctrl-C can arrive while :mod:`tempfile` makes
    or removes a folder, and that folder would stay. What is still registered when Python ends is removed then. The
    folder is locked, and the system releases the lock when the process is killed: the next one that makes a folder
    removes it.

    Parameters
    ----------
    prefix
        How the name of the folder begins.

    Raises
    ------
    OSError
        If no folder for temporary files can be written.
    """
    try:
        # short: it holds sockets
        folder = Path(tempfile.gettempdir(), f"{prefix}{secrets.token_urlsafe(6)}{_END}")
        folder.parent.stat()
    except FileNotFoundError as error:  # this class would mean that an input is missing
        msg = "no folder for temporary files can be written; set TMPDIR, or make room on the disk"
        raise OSError(msg) from error
    _remove_at_exit()
    _remove_abandoned(folder.parent)
    unlocked = folder.with_name(f".{folder.name}")  # under this name nobody removes it
    _existing.update((unlocked, folder))
    lock, owner = None, os.getpid()
    try:
        unlocked.mkdir(mode=0o700)
        lock = _lock(unlocked)
        unlocked.rename(folder)
        yield folder
    finally:
        if folder.exists() and os.getpid() == owner:  # a forked process leaves it to its parent
            shutil.rmtree(folder)
        if lock is not None:
            os.close(lock)
        if not unlocked.exists():
            _existing.difference_update((folder, unlocked))


def _lock(folder: Path) -> int | None:
    """Lock a folder until the process ends or closes the returned handle; None where the system cannot."""
    if fcntl is None:
        return None
    handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


@functools.cache
def _remove_abandoned(place: Path) -> None:
    """Remove the folders of this user whose process was killed: nobody holds their locks any more."""
    if fcntl is None:
        return
    for folder in place.glob(f"{_BEGIN}*{_END}"):
        with suppress(OSError):
            if folder.lstat().st_uid == os.getuid() and (lock := _lock(folder)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)


@functools.cache
def _remove_at_exit() -> None:
    atexit.register(_remove_existing, os.getpid())


def _remove_existing(owner: int) -> None:
    if os.getpid() != owner:  # a forked process must not take the folders of its parent
        return
    for folder in list(_existing):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def temporary_log_level(logger: str, level: int) -> Iterator[None]:
    """Set the level of a logger while the block runs."""
    changed = logging.getLogger(logger)
    before = changed.level
    changed.setLevel(level)
    try:
        yield
    finally:
        changed.setLevel(before)


@contextmanager
def temporary_environment(**variables: str) -> Iterator[None]:
    """Set environment variables while the block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def temporary_handlers(handlers: Mapping[int, Callable[..., Any]]) -> Iterator[None]:
    """Handle signals, by number, with these functions while the block runs; only the main thread can do this."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: it was not set from Python, and Python cannot set it
                signal.signal(number, handler)
