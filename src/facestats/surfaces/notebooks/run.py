"""Run the numbered notebooks in order, keep the executed copies, and bind them into one page."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facestats.core.config import ConfigError, load_config
from facestats.core.progress import say
from facestats.surfaces.notebooks.report import write_report
from facestats.surfaces.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from facestats.core.config import Config

START_TIMEOUT = 120  # seconds for a kernel to answer
DIED = "Python was ended from outside, as the system does with what needs more memory than there is."
# what a notebook leaves behind: its names, its numbers of cells, and the memory that the allocator keeps
CLEAN = """
get_ipython().reset(new_session=True)
from facestats.models.runtime import give_back_memory
give_back_memory()
del give_back_memory
"""


@dataclass(eq=False)  # frozen, it could not be given its traceback
class NotebookError(Exception):
    """A cell failed: which notebook, which cell, what it said, and the class of its error."""

    notebook: Path
    cell: int
    message: str
    kind: str = ""

    def __str__(self) -> str:
        number = self.notebook.name[:2]
        trace = "The executed copy shows the whole trace. " if self.kind else ""
        return (
            f"{self.notebook.name}, cell {self.cell}: {self.message}\n{trace}"
            f"Mend the cause, then go on with: facestats run --from {number}"
        )


def run_notebooks(
    config_file: Path, *, first: str = "", last: str = "", parameters: Mapping[str, Any] | None = None
) -> Path:
    """Execute the notebooks from number `first` to `last`, stopping at the first cell that fails.

    One kernel runs them all, emptied before each, so that torch and its kin are imported once.

    Parameters
    ----------
    config_file
        Configuration that the notebooks use, through ``$FACESTATS_CONFIG``.
    first, last
        Numbers such as ``03``; empty for the whole way.
    parameters
        Values for the parameters cells; a notebook takes those that its cell names.

    Returns
    -------
    The report, ``index.html`` in the `report` folder of the data folder.

    Raises
    ------
    NotebookError
        With notebook, cell and message; the report says of all behind that notebook that it is from an earlier run.
    ConfigError
        If there is no notebook, or none with such a number.
    """
    from nbclient.exceptions import DeadKernelError
    from papermill import execute_notebook, inspect_notebook
    from papermill.exceptions import PapermillExecutionError

    # what nbclient leaves behind when it is stopped is no news for the user
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    config = load_config(config_file)
    notebooks = _select(find_notebooks(config_file), first, last)
    report = config.report_dir
    report.mkdir(parents=True, exist_ok=True)
    _draw_demo(config)
    os.environ["FACESTATS_CONFIG"] = str(config_file.resolve())
    notebook = notebooks[0]
    try:
        with _open_kernel(notebook.parent) as (kernel, clean):
            for notebook in notebooks:
                known = inspect_notebook(notebook)  # papermill warns of others
                (report / notebook.name).unlink(missing_ok=True)  # where none is executed there is none
                clean()
                execute_notebook(
                    notebook,
                    report / notebook.name,
                    {k: v for k, v in (parameters or {}).items() if k in known},
                    kernel_name="python3",
                    progress_bar={"desc": notebook.stem},
                    **kernel,
                )
    except PapermillExecutionError as error:
        message = f"{error.ename}: {error.evalue}".strip()
        raise NotebookError(notebook, error.cell_index, message, error.ename) from None
    except (DeadKernelError, TimeoutError):  # the latter where it died between two notebooks
        raise NotebookError(notebook, _last_begun(report / notebook.name), DIED) from None
    finally:
        page = write_report(report, last=notebook.name)
    say(f"report: {page}")
    return page


def find_notebooks(config_file: Path) -> list[Path]:
    """Find the numbered notebooks: beside the folder of the configuration, or here, or above."""
    places = [config_file.resolve().parent.parent, Path.cwd(), *Path.cwd().parents]
    for place in places:
        if found := sorted((place / "notebooks").glob("[0-9][0-9]_*.ipynb")):
            return found
    msg = (
        f"no notebooks found in {places[0] / 'notebooks'} or {Path.cwd()}. Run this in a clone of facestats."
    )
    raise ConfigError(msg)


def _select(notebooks: list[Path], first: str, last: str) -> list[Path]:
    numbers = [n.name[:2] for n in notebooks]
    for name, value in (("--from", first), ("--to", last)):
        if value and not (re.fullmatch(r"\d\d?", value) and value.zfill(2) in numbers):
            msg = f"{name} {value}: there is no such notebook; the numbers are {', '.join(numbers)}"
            raise ConfigError(msg)
    start, stop = first.zfill(2), last.zfill(2) if last else "99"
    chosen = [n for n in notebooks if start <= n.name[:2] <= stop]
    if not chosen:
        msg = f"--from {first} lies behind --to {last}; nothing to run"
        raise ConfigError(msg)
    return chosen


@contextlib.contextmanager
def _open_kernel(folder: Path) -> Iterator[tuple[dict[str, Any], Callable[[], Any]]]:
    """A kernel that works in `folder`: what papermill needs to use it, and how to empty it.

    It is reached through sockets in a folder of this run alone, not through open ports. Named from the working
    folder, as Jupyter would, the sockets of two runs at once are the same.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_core.utils import run_sync

    with temporary_folder() as sockets:
        local = {} if sys.platform == "win32" else {"transport": "ipc", "ip": f"{sockets}/kernel"}
        manager = AsyncKernelManager(kernel_name="python3", **local)
        run_sync(manager.start_kernel)(
            cwd=str(folder), extra_arguments=["--HistoryManager.hist_file=:memory:"]
        )
        client, cleaner = manager.client(), manager.blocking_client()
        try:
            for each in (client, cleaner):
                each.start_channels()
                each.allow_stdin = False
            cleaner.wait_for_ready(timeout=START_TIMEOUT)
            run_sync(client.wait_for_ready)(timeout=START_TIMEOUT)
            clean = functools.partial(
                cleaner.execute_interactive, CLEAN, output_hook=lambda _: None, timeout=START_TIMEOUT
            )
            yield {"km": manager, "kc": client}, clean
        finally:
            for each in (client, cleaner):
                each.stop_channels()
            # all is written: asked to end, Python would clear torch away for seconds
            run_sync(manager.shutdown_kernel)(now=True)


def _last_begun(notebook: Path) -> int:
    """Number of the last cell that was begun; papermill calls the one in which a kernel dies completed too."""
    import nbformat

    if not notebook.exists():
        return 0
    cells = nbformat.read(notebook, as_version=4).cells
    return sum(cell.metadata["papermill"]["status"] == "completed" for cell in cells) - 1


def _draw_demo(config: Config) -> None:
    """Draw the demo gallery where the configuration asks for one and there is none."""
    if config.demo is None or (config.raw_dir.is_dir() and any(config.raw_dir.iterdir())):
        return
    from facestats.demo.gallery import write_gallery

    say(f"drawing {config.demo.pictures} characters in {config.raw_dir}")
    write_gallery(config.raw_dir, n=config.demo.pictures, seed=config.demo.seed)
