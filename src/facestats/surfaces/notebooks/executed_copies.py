"""The executed copies of the notebooks: each one is replaced as a whole, and a damaged one counts as absent."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from facestats.core.atomic_write import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbformat import NotebookNode


def read_copy(path: Path) -> NotebookNode | None:
    """Read an executed copy; None if there is none, or if it is damaged, as a full disk could leave it."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, LookupError, AttributeError, nbformat.ValidationError):
        return None


def write_copy(notebook: NotebookNode, path: Path) -> None:
    """Replace an executed copy; raise OSError, and keep the old one, if the disk is full."""
    import nbformat

    _write(nbformat.writes(notebook), path)


def papermill_path(path: Path) -> str:
    """Write a path for papermill, which fills in what stands between braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


@contextmanager
def atomic_copies() -> Iterator[None]:
    """While the block runs, papermill replaces whole files; by itself it writes into the old one, after every cell."""
    from pathlib import Path

    from papermill.iorw import LocalHandler, papermill_io

    class Handler(LocalHandler):
        """Write a whole file."""

        def write(self, buf: str, path: str) -> None:
            _write(buf, Path(path))

    handler = ("local", Handler())
    papermill_io.register(*handler)
    try:
        yield
    finally:
        papermill_io._handlers.remove(handler)


def _write(text: str, path: Path) -> None:
    # it is written again after every cell, so waiting for the disk is not worth its time
    with replacing(path, durable=False) as temporary:
        temporary.write_text(text, encoding="utf-8")
