"""Run the numbered notebooks in order, keep the executed copies, and write one page from them."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.atomic_write import remove_leftovers
from facestats.core.config import ConfigError, load_config
from facestats.core.config_source import PROJECT_FILE, ConfigSource, find_config, packaged
from facestats.core.progress import say
from facestats.core.protocols import ModelError
from facestats.core.tables import TABLES
from facestats.store.store import Store
from facestats.surfaces.extras import require
from facestats.surfaces.notebooks.early_end import accept_early_end
from facestats.surfaces.notebooks.executed_copies import atomic_copies, papermill_path, read_copy
from facestats.surfaces.notebooks.expected_tables import describe_stale, table_states
from facestats.surfaces.notebooks.report import REPORT, flow_order, read_executed, render, write_report
from facestats.surfaces.notebooks.run_progress import KERNEL_VARIABLES, show_stage_progress
from facestats.surfaces.notebooks.summary import changed_sources, conclude, read_sources
from facestats.surfaces.project.load import draw_demo
from facestats.surfaces.project.preflight import check_project
from facestats.surfaces.temporary import temporary_folder, temporary_log_level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from facestats.core.config import Config

_FIRST = "01"  # number of the notebook that makes the first table
START_TIMEOUT = 120  # seconds for a kernel to answer
END_SECONDS = 2  # for the processes of a killed kernel to end
# Jupyter reads a grammar of web addresses with it at every start, for seconds, and uses it for none of its files
_URI_GRAMMAR = "rfc3987_syntax"
KILLED = "Python was killed from outside; the system does this when memory runs out."
# removes what a notebook leaves behind: its names, its cell numbers, and the memory that the allocator keeps
RESET = """
get_ipython().reset(new_session=True)
from facestats.models.runtime import give_back_memory
give_back_memory()
del give_back_memory
"""


@dataclass(eq=False)  # not frozen: Python stores the traceback in it
class NotebookError(Exception):
    """A cell failed; holds the notebook, the number of the cell, the message, and the class name of the error.

    `again` is the command that continues.
    """

    notebook: Path
    cell: int
    message: str
    kind: str = ""
    again: str = "facestats run"

    def __str__(self) -> str:
        trace = "The executed copy shows the full traceback. " if self.kind else ""
        return (
            f"{self.notebook.name}, cell {self.cell}: {self.message}\n{trace}"
            f"Correct the cause, then continue with: {self.again}"
        )


@dataclass
class Kernel:
    """A kernel that starts, or has started, and a client of its own to reset it."""

    manager: Any
    client: Any
    is_ready: bool = False

    def reset(self) -> None:
        """Remove what the last notebook left; the first call waits until the kernel has started."""
        if not self.is_ready:
            self.client.wait_for_ready(timeout=START_TIMEOUT)
            self.is_ready = True
        self.client.execute_interactive(RESET, output_hook=lambda _: None, timeout=START_TIMEOUT)


def run_notebooks(
    config_file: Path | ConfigSource,
    *,
    first: str = "",
    last: str = "",
    parameters: Mapping[str, Any] | None = None,
) -> Path:
    """Execute the notebooks from number `first` to `last`, and stop at the first cell that fails.

    One kernel runs all of them and is reset before each, so that torch and other slow libraries are imported only
    once. The kernel gets ``$FACESTATS_CONFIG``; environment and log levels of this process stay as they are.

    Parameters
    ----------
    config_file
        Configuration that the notebooks use: a file, or what ``find_config`` found.
    first, last
        Numbers such as ``03``; empty for the first and the last notebook there is.
    parameters
        Values for the cells tagged `parameters`; each notebook gets those that its cell names.

    Returns
    -------
    The report, ``index.html`` in the `report` folder of the data folder.

    Raises
    ------
    NotebookError
        If a cell fails; the report marks later notebooks as results of an earlier run.
    MissingExtraError
        If a package of the notebooks is missing.
    ConfigError
        If there are no notebooks, or none with such a number, or if side files of the project cannot be read.
    NoPicturesError
        If there are no pictures.
    """
    require("notebooks", ("ipykernel", "nbconvert", "papermill"), by="a run of the notebooks")
    source = find_config(config_file)
    config = load_config(source)
    found = find_notebooks(source)
    notebooks = _select(found, first, last)
    draw_demo(config)
    check_project(config, first=notebooks[0].name[:2], last=notebooks[-1].name[:2])
    # a run to the end draws the map of the code and of the tables when all else is made
    maps = [] if last else [path for path in found if flow_order(path.name)[0]]
    notebooks = sorted({*notebooks, *maps}, key=lambda path: flow_order(path.name))
    report = config.report_dir
    report.mkdir(parents=True, exist_ok=True)
    for folder in (report, config.models_dir, config.data_dir / "processed"):
        remove_leftovers(folder)
    # when it is stopped, nbclient leaves tasks behind, and asyncio reports each of them
    store, number = Store(config.data_dir), notebooks[0].name[:2]
    sources = read_sources(store)
    with (
        temporary_log_level("asyncio", logging.CRITICAL),
        ThreadPoolExecutor(1) as aside,
        _open_kernel(notebooks[0].parent, source.variables, warm=_needed_libraries(notebooks)) as kernel,
    ):
        # what takes seconds to find out, in which the kernel starts
        stale = aside.submit(_find_stale, config, before=number)

        def notes() -> list[str]:
            return [*filter(None, [stale.result()]), *changed_sources(sources, read_sources(store))]

        given = {"stale": stale, **(parameters or {})}
        page = _execute(notebooks, report, kernel, parameters=given, source=source, notes=notes)
        for line in (*conclude(read_executed(report), store, ran={n.name for n in notebooks}), *notes()):
            say(line)
    say(f"report: {page}")
    return page


def _find_stale(config: Config, *, before: str) -> str:
    """Say which tables of the notebooks before number `before` are stale; this run does not make them again."""
    if before <= _FIRST:
        return ""
    try:
        states = table_states(config)
    except (OSError, ValueError, ModelError):  # the notebooks say what cannot be read
        return ""
    made_by = {name: Path(table.made_by).name[:2] for name, table in TABLES.items()}
    earlier = states.filter(pl.col("table").replace_strict(made_by) < before)
    return f"Tables are {text}" if (text := describe_stale(earlier, config)) else ""


def _execute(
    notebooks: list[Path],
    report: Path,
    kernel: Kernel,
    *,
    parameters: Mapping[str, Any],
    source: ConfigSource,
    notes: Callable[[], list[str]],
) -> Path:
    """Execute the notebooks in the kernel, and write the report also if a cell fails."""
    # they take seconds, in which the kernel starts
    with _without(_URI_GRAMMAR):
        from nbclient.exceptions import DeadKernelError
        from papermill import execute_notebook, inspect_notebook
        from papermill.exceptions import PapermillExecutionError

    notebook = notebooks[0]
    writer = _ReportWriter(report)
    for path in sorted(report.glob("[0-9][0-9]_*.ipynb")):
        if path.name not in {n.name for n in notebooks}:
            writer.prepare(path)
    try:
        for notebook in notebooks:
            copy = report / notebook.name
            known = inspect_notebook(papermill_path(notebook))  # papermill warns about other parameters
            copy.unlink(missing_ok=True)  # if the run fails early, no old copy stays
            kernel.reset()
            with atomic_copies(), accept_early_end(copy), show_stage_progress() as stage:
                execute_notebook(
                    papermill_path(notebook),
                    papermill_path(copy),
                    {k: _value(v) for k, v in parameters.items() if k in known},
                    kernel_name="python3",
                    progress_bar={"desc": notebook.stem},
                    stderr_file=stage,
                    km=kernel.manager,
                )
            writer.prepare(copy)
    except PapermillExecutionError as error:
        message = f"{error.ename}: {error.evalue}".strip()
        again = source.command("run", "--from", notebook.name[:2])
        raise NotebookError(notebook, error.cell_index, message, error.ename, again) from None
    except (DeadKernelError, TimeoutError):  # TimeoutError: the kernel died between two notebooks
        again = source.command("run", "--from", notebook.name[:2])
        raise NotebookError(notebook, _last_started_cell(copy), KILLED, again=again) from None
    finally:
        page = writer.write(last=notebook.name, notes=notes)
    return page


def _value(parameter: Any) -> Any:
    """Return the value of a parameter; some are found out while the run goes on."""
    return parameter.result() if isinstance(parameter, Future) else parameter


class _ReportWriter:
    """Write the report; its parts are rendered while the kernel works."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.thread = ThreadPoolExecutor(1)

    def prepare(self, copy: Path) -> None:
        """Render an executed copy ahead."""
        self.thread.submit(render, copy)

    def write(self, *, last: str, notes: Callable[[], list[str]]) -> Path:
        """Write the page; after an error, a full disk here does not hide that error."""
        self.thread.shutdown()
        failed = sys.exc_info()[0] is not None
        with contextlib.suppress(*[OSError, MemoryError] * failed):
            write_report(self.folder, last=last, notes=notes())
        return self.folder / REPORT


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Let imports of `module` fail inside the block, as if it was not installed."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


def _needed_libraries(notebooks: list[Path]) -> str:
    """Write the statement that imports what takes seconds to import, if a notebook will need it."""
    code = "".join(notebook.read_text(encoding="utf-8") for notebook in notebooks)
    needed = "torch, open_clip" if "fs.models.clip(" in code else "facestats"
    # what a library keeps for ever need not be searched for garbage after every notebook
    return f"import gc, {needed}; gc.freeze()"


def find_notebooks(source: ConfigSource) -> list[Path]:
    """Find the numbered notebooks of a project: beside ``facestats.yaml``, in the clone, or those of the package."""
    root = source.file.resolve().parent
    own = root if source.file.name == PROJECT_FILE else root.parent
    places = [packaged("notebooks")] if source.is_packaged else [own / "notebooks", packaged("notebooks")]
    for place in places:
        if found := sorted(place.glob("[0-9][0-9]_*.ipynb")):
            return found
    msg = f"no notebooks found in {places[0]}. `facestats init` makes a project with its notebooks."
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
        msg = f"--from {first} comes after --to {last}, so there is nothing to run"
        raise ConfigError(msg)
    return chosen


@contextlib.contextmanager
def _open_kernel(folder: Path, variables: Mapping[str, str], *, warm: str) -> Iterator[Kernel]:
    """Start a kernel in `folder` with these environment variables; its first statement is `warm`.

    It is the kernel of the Python that runs here, whatever kernels Jupyter knows of other Pythons.
    The kernel is reached through sockets in a folder of this run, not through open ports. Jupyter would name the
    sockets after the working folder, and two runs at once would share them.
    """
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_core.utils import run_sync

    clients: list[Any] = []

    class Manager(AsyncKernelManager):
        """Remember all clients: nbclient opens one for each notebook, and does not close it."""

        def client(self, **options: Any) -> Any:
            clients.append(super().client(**options))
            return clients[-1]

    with temporary_folder() as sockets:
        local = {} if sys.platform == "win32" else {"transport": "ipc", "ip": f"{sockets}/kernel"}
        # without folders of kernels, python3 is the kernel of this Python; a folder could hold another one of that name
        specs = KernelSpecManager(kernel_dirs=[])
        file = f"{sockets}/kernel.json"
        manager = Manager(kernel_name="python3", kernel_spec_manager=specs, connection_file=file, **local)
        run_sync(manager.start_kernel)(
            cwd=str(folder),
            env={**os.environ, **variables, **KERNEL_VARIABLES},
            extra_arguments=["--HistoryManager.hist_file=:memory:", f"--IPKernelApp.exec_lines={warm}"],
        )
        resetter = manager.blocking_client()
        try:
            resetter.start_channels()
            resetter.allow_stdin = False
            yield Kernel(manager, resetter)
        finally:
            for client in (*clients, resetter):
                client.stop_channels()
            _kill_kernel(manager.provisioner)
            run_sync(manager.shutdown_kernel)(now=True)


def _kill_kernel(provisioner: Any) -> None:
    """Kill the kernel, wait a moment until its worker processes have ended, and kill what is left of its group.

    Everything is written, and an orderly end would spend seconds on freeing torch. One process of the group deletes
    the semaphores of the workers once these have ended; Jupyter would kill it too, and the semaphores would stay.
    """
    if (
        provisioner is None or provisioner.process is None or not provisioner.pgid
    ):  # on Windows there is no group
        return
    provisioner.process.kill()
    end = time.monotonic() + END_SECONDS
    while time.monotonic() < end:
        provisioner.process.poll()  # else it would count as a process of the group
        try:
            os.killpg(provisioner.pgid, 0)
        except OSError:  # all have ended
            return
        time.sleep(0.02)


def _last_started_cell(notebook: Path) -> int:
    """Number of the last cell that was started; papermill marks the cell in which a kernel dies as completed."""
    copy = read_copy(notebook)
    cells = copy.cells if copy is not None else []
    return max(0, sum(cell.metadata["papermill"]["status"] == "completed" for cell in cells) - 1)
