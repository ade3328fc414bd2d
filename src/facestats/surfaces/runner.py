"""Run the numbered notebooks in order, keep the executed copies, and bind them into one page."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facestats.core.config import ConfigError, load_config
from facestats.core.progress import say
from facestats.surfaces.report import write_report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from facestats.core.config import Config


@dataclass(eq=False)  # frozen, it could not be given its traceback
class NotebookError(Exception):
    """A cell failed: which notebook, which cell, what it said, and the class of its error."""

    notebook: Path
    cell: int
    message: str
    kind: str = ""

    def __str__(self) -> str:
        number = self.notebook.name[:2]
        return (
            f"{self.notebook.name}, cell {self.cell}: {self.message}\nThe executed copy shows the whole trace."
            f" Mend the cause, then go on with: facestats run --from {number}"
        )


def run_notebooks(
    config_file: Path, *, first: str = "", last: str = "", parameters: Mapping[str, Any] | None = None
) -> Path:
    """Execute the notebooks from number `first` to `last`, stopping at the first cell that fails.

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
    from papermill import execute_notebook, inspect_notebook
    from papermill.exceptions import PapermillExecutionError

    # what nbclient leaves behind when it is stopped is no news for the user
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    config = load_config(config_file)
    notebooks = _select(find_notebooks(config_file), first, last)
    report = config.data_dir / "report"
    report.mkdir(parents=True, exist_ok=True)
    _draw_demo(config)
    os.environ["FACESTATS_CONFIG"] = str(config_file.resolve())
    notebook = notebooks[0]
    try:
        with tempfile.TemporaryDirectory(prefix="facestats-") as sockets:
            for notebook in notebooks:
                known = inspect_notebook(notebook)  # papermill warns of others
                (report / notebook.name).unlink(missing_ok=True)  # a kernel that does not start leaves none
                execute_notebook(
                    notebook,
                    report / notebook.name,
                    {k: v for k, v in (parameters or {}).items() if k in known},
                    kernel_name="python3",
                    cwd=notebook.parent,
                    progress_bar={"desc": notebook.stem},
                    kernel_manager_class=_kernel_manager(sockets),
                    shutdown_kernel="immediate",  # all is written: Python would clear torch away for seconds
                )
    except PapermillExecutionError as error:
        message = f"{error.ename}: {error.evalue}".strip()
        raise NotebookError(notebook, error.cell_index, message, error.ename) from None
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


def _kernel_manager(sockets: str) -> type:
    """Kernels that are reached through `sockets`, a folder of this run alone, not through open ports.

    Named from the working folder, as Jupyter would, the sockets of two runs at once are the same.
    """
    from jupyter_client import AsyncKernelManager

    if sys.platform == "win32":
        return AsyncKernelManager
    return type("LocalKernelManager", (AsyncKernelManager,), {"transport": "ipc", "ip": f"{sockets}/kernel"})


def _draw_demo(config: Config) -> None:
    """Draw the demo gallery where the configuration asks for one and there is none."""
    if config.demo is None or (config.raw_dir.is_dir() and any(config.raw_dir.iterdir())):
        return
    from facestats.demo.gallery import write_gallery

    say(f"drawing {config.demo.pictures} characters in {config.raw_dir}")
    write_gallery(config.raw_dir, n=config.demo.pictures, seed=config.demo.seed)
