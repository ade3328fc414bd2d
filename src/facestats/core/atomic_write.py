"""Write files atomically: after a crash the file holds its old content or its new content, never part of it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_TEMPORARY = re.compile(r"\..*\.([0-9a-f]{8})\.(\d+)\.tmp", re.DOTALL)


def write_atomically(path: Path, content: bytes | str | Iterable[bytes]) -> Path:
    """Write `content` to `path` in one step; text is encoded as UTF-8.

    Parameters
    ----------
    path
        The file to write. Its folder is created if it is missing.
    content
        The whole content, or an iterable of its pieces.

    Returns
    -------
    `path`.

    Raises
    ------
    OSError
        If the system cannot write the file. `path` then keeps its old content, and no temporary file remains.
    """
    data = content.encode() if isinstance(content, str) else content
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.writelines([data] if isinstance(data, bytes) else data)
    return path


@contextmanager
def replacing(path: Path, *, temporary: Path | None = None, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; what the block writes there then replaces `path`.

    The content reaches the disk before the rename, and the rename reaches the disk before the block ends. If the
    block raises, `path` stays as it was and the temporary file is deleted.

    Parameters
    ----------
    path
        The file to replace. Its folder is created if it is missing.
    temporary
        The temporary path to use; by default a hidden file beside `path`, which :func:`remove_leftovers` removes if
        the process was killed.
    durable
        Whether to wait until the disk holds the file. Waiting is not worth its time for files that can be made
        again, such as crops.

    Yields
    ------
    The temporary path to write to.
    """
    temporary = temporary or path.with_name(f".{path.name.lstrip('.')[:200]}.{_machine()}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    except OSError as error:
        if error.filename is None:  # a full disk is reported without the name of the file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files below `folder` whose process was killed; those of other machines stay."""
    if os.name == "nt":  # there, asking for a process by signal 0 would end it
        return
    for place, _, names in os.walk(folder):
        for name in names:
            found = _TEMPORARY.fullmatch(name)
            if found and found[1] == _machine() and not _is_running(int(found[2])):
                with suppress(OSError):
                    Path(place, name).unlink()


@cache
def _machine() -> str:
    """Return 8 characters for this machine or container, because process numbers are those of one."""
    return hashlib.blake2b(platform.node().encode(), digest_size=4).hexdigest()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def sync_folder(folder: Path) -> None:
    """Make the renames in `folder` survive a power failure; does nothing on Windows, which has no such call."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
