"""Allow one run at a time: a lock that the system releases when its process ends, and the name of its owner."""

from __future__ import annotations

import os
import platform
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class StoreError(RuntimeError):
    """The store cannot read or write a table; the message says what to do. Stored tables are unchanged."""


class LockedError(StoreError):
    """Another run is writing the table or the output."""


@contextmanager
def exclusive_lock(lock_file: Path, owner_file: Path, *, what: str) -> Iterator[None]:
    """Lock `lock_file` while the block runs, and write the owner of the lock into `owner_file`.

    Parameters
    ----------
    lock_file
        Never deleted: a waiting process would otherwise lock an unlinked file.
    owner_file
        Deleted when the lock is released.
    what
        The locked thing and what is done to it, for the error: ``table 'faces' is being built``.

    Raises
    ------
    LockedError
        If another run holds the lock; there is no waiting.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        try:
            owner = owner_file.read_text(encoding="utf-8")
        except OSError:
            owner = "another process"
        msg = f"{what} by {owner}. Wait until it ends, or stop it; then run again."
        raise LockedError(msg) from error
    try:
        with suppress(OSError):  # only others read it; what must be written says itself that the disk is full
            owner_file.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            owner_file.unlink()
        lock.release()
