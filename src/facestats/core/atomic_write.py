"""Write a file so that it holds the old content or the new one, never half of it, whatever ends the process."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def write_atomically(path: Path, content: bytes | str | Iterable[bytes]) -> Path:
    """Write `content` to `path`; a text is written in UTF-8.

    Parameters
    ----------
    path
        The file; its folder is made if it is missing.
    content
        All of it, or its pieces.

    Returns
    -------
    The path.

    Raises
    ------
    OSError
        If the disk refuses; `path` then holds what it held before, and no temporary file stays.
    """
    pieces = (
        [content.encode()]
        if isinstance(content, str)
        else [content]
        if isinstance(content, bytes)
        else content
    )
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.writelines(pieces)
    return path


@contextmanager
def replacing(path: Path, *, temporary: Path | None = None, durable: bool = True) -> Iterator[Path]:
    """Give a temporary name in the same folder to write to; it takes the place of `path` when the block ends well.

    What was written is on the disk before it gets the name, and the name is before the block ends. If the block
    fails, `path` stays as it is and the temporary file is removed.

    Parameters
    ----------
    path
        The file to replace; its folder is made if it is missing.
    temporary
        Another temporary name; by default a hidden one beside `path`, for this process alone.
    durable
        Whether to wait until the disk has it; not worth the time for what can be made again, such as a crop.
    """
    temporary = temporary or path.with_name(f".{path.name.lstrip('.')[:200]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
        temporary.replace(path)
        if durable:
            sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut (Windows knows no such call)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
