"""End a notebook early, without an error: an optional input is missing, and one sentence says so."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from facestats.core.progress import say
from facestats.surfaces.notebooks.executed_copies import read_copy, write_copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nbformat import NotebookNode

_MARK = "early_end"  # metadata of the output that holds the sentence


class EarlyEnd(Exception):  # noqa: N818 - nothing went wrong
    """The rest of a notebook has nothing to work on; the text says why."""


def stop_here(reason: str) -> NoReturn:
    """End the notebook at this cell because an optional input is missing.

    The sentence is shown as an ordinary output, and no later cell runs: `facestats run` goes on with the next
    notebook, and "Run All" in JupyterLab stops without a traceback.

    Parameters
    ----------
    reason
        One or two sentences: what is missing, and what that means for the notebooks that follow.

    Returns
    -------
    Does not return. Outside a notebook it prints the sentence and raises `EarlyEnd`.

    Raises
    ------
    EarlyEnd
        Always, with `reason` as its text.

    Examples
    --------
    >>> import facestats as fs
    >>> fs.stop_here("No ratings: there is no ratings.csv beside the pictures.")
    Traceback (most recent call last):
    facestats.surfaces.notebooks.early_end.EarlyEnd: No ratings: there is no ratings.csv beside the pictures.
    """
    ipython = sys.modules.get("IPython")  # in a notebook it is there
    if (shell := ipython and ipython.get_ipython()) is None:
        say(reason)
    else:
        shell.set_custom_exc((EarlyEnd,), lambda *_, **__: None)  # IPython would print a traceback
        shell.display_pub.publish({"text/plain": reason}, metadata={_MARK: True})
    raise EarlyEnd(reason)


@contextmanager
def accept_early_end(copy: Path) -> Iterator[None]:
    """Treat a notebook that ended by :func:`stop_here` as finished.

    The block executes the notebook with papermill. The executed `copy` then ends with the sentence, without the error message that papermill adds to it.
    """
    from papermill.exceptions import PapermillExecutionError

    try:
        yield
    except PapermillExecutionError:
        notebook = read_copy(copy)
        ends = [i for i, cell in enumerate(notebook.cells) if _ends_here(cell)] if notebook else []
        if notebook is None or not ends:
            raise
        notebook.cells = [c for c in notebook.cells[: ends[0] + 1] if not _is_error_message(c)]
        write_copy(notebook, copy)


def reason_of_end(output: NotebookNode) -> str:
    """Return the sentence by which a cell ended its notebook; empty for any other output."""
    return output["data"]["text/plain"] if output.get("metadata", {}).get(_MARK) else ""


def _ends_here(cell: NotebookNode) -> bool:
    return any(reason_of_end(output) for output in cell.get("outputs", []))


def _is_error_message(cell: NotebookNode) -> bool:
    from papermill.execute import ERROR_MARKER_TAG

    return ERROR_MARKER_TAG in cell.metadata.get("tags", [])
