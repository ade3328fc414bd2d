"""One run at a time: a lock that the system takes back when its process dies, and who holds it."""

from __future__ import annotations

import os
import platform
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class StoreError(RuntimeError):
    """The store cannot read or write; the text says what to do, and nothing was harmed."""


class LockedError(StoreError):
    """Another run holds the table or output."""


@contextmanager
def exclusive_lock(lock_file: Path, owner_file: Path, *, what: str) -> Iterator[None]:
    """Hold `lock_file` alone, and say in `owner_file` who does.

    Parameters
    ----------
    lock_file
        Stays when it is released: who waits for it would else hold a file that is no longer there.
    owner_file
        Its neighbour, gone when the lock is released.
    what
        What the lock stands for and what is done to it, for the error: ``table 'faces' is being built``.

    Raises
    ------
    LockedError
        At once, if another run holds it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        try:
            who = owner_file.read_text(encoding="utf-8")
        except OSError:
            who = "another process"
        msg = f"{what} by {who}. Wait until it ends, or stop it; then run again."
        raise LockedError(msg) from error
    try:
        owner_file.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            owner_file.unlink()
        lock.release()
