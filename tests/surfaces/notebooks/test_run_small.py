"""Running notebooks of two cells, and the report on them."""

from __future__ import annotations

import contextlib
import html
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from facestats.core.config import ConfigError
from facestats.core.config_source import find_config
from facestats.surfaces.notebooks.report import write_report
from facestats.surfaces.notebooks.run import Kernel, NotebookError, find_notebooks, run_notebooks
from tests.conftest import ROOT
from tests.surfaces.conftest import write_notebook

SEMAPHORES = Path("/dev/shm")


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("12", "", "--from 12: there is no such notebook; the numbers are 0"),
        ("", "x", "--to x"),
        ("07", "02", "nothing to run"),
    ],
)
def test_wrong_numbers_name_the_right_ones(project, first, last, message):
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    with pytest.raises(ConfigError, match=message):
        run_notebooks(project / "config/c.yaml", first=first, last=last)


def test_notebooks_are_found_beside_the_configuration(project):
    shutil.copytree(ROOT / "notebooks", project / "notebooks")
    found = find_notebooks(find_config(project / "config/c.yaml"))
    assert found[0].parent == project / "notebooks"
    assert [p.name for p in found] == sorted(p.name for p in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


def test_the_report_leaves_out_widgets_and_fetches_nothing(tmp_path):
    view = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "ab", "version_major": 2, "version_minor": 0}
    }
    outputs = [
        nbformat.v4.new_output("display_data", data=view | {"text/plain": "HBox(children=())"}),
        nbformat.v4.new_output("stream", text="12 faces"),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=outputs)])
    state = {"ab": {"model_name": "HBoxModel", "model_module": "@jupyter-widgets/controls", "state": {}}}
    content = {"state": state, "version_major": 2, "version_minor": 0}
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": content}
    nbformat.write(notebook, tmp_path / "01_x.ipynb")
    text = write_report(tmp_path).read_text()
    assert "12 faces" in text
    assert "HBox" not in text
    assert "<script src" not in text


LOGGERS = ("", "asyncio", "traitlets", "papermill")


def process_state():
    """Environment variables and log levels of this process."""
    return dict(os.environ), [logging.getLogger(name).level for name in LOGGERS]


def test_run_and_report_leave_the_environment_and_the_log_levels_as_they_were(project, monkeypatch):
    monkeypatch.setenv("FACESTATS_CONFIG", "from before")
    write_notebook(project / "notebooks/01_a.ipynb", "n = 1", "'12 faces'")
    asked = {}

    @contextlib.contextmanager
    def no_kernel(folder, variables, **_):
        asked.update(variables, folder=folder)
        asked["level"] = logging.getLogger("asyncio").level
        yield Kernel(None, None)

    monkeypatch.setattr("facestats.surfaces.notebooks.run._open_kernel", no_kernel)
    monkeypatch.setattr(Kernel, "reset", lambda self: None)
    monkeypatch.setattr(
        "papermill.execute_notebook", lambda source, copy, *_, **__: shutil.copy(source, copy)
    )
    before = process_state()
    page = run_notebooks(project / "config/c.yaml")
    assert process_state() == before
    assert asked["FACESTATS_CONFIG"] == str(project / "config/c.yaml")
    assert (asked["folder"], asked["level"]) == (project / "notebooks", logging.CRITICAL)
    logging.getLogger("traitlets").setLevel(logging.INFO)
    try:
        assert write_report(page.parent) == page
        assert logging.getLogger("traitlets").level == logging.INFO
    finally:
        logging.getLogger("traitlets").setLevel(before[1][2])
    assert process_state() == before


@pytest.mark.slow
def test_the_kernel_works_beside_the_notebooks_with_the_configuration(project, monkeypatch):
    monkeypatch.setenv("FACESTATS_CONFIG", "from before")
    cell = "print(os.environ['FACESTATS_CONFIG'], os.getcwd(), sep='|')"
    write_notebook(project / "notebooks/01_a.ipynb", "import os", cell)
    before = process_state()
    page = run_notebooks(project / "config/c.yaml")
    assert process_state() == before
    assert f"{project / 'config/c.yaml'}|{project / 'notebooks'}" in html.unescape(page.read_text())


@pytest.mark.slow
def test_what_an_earlier_run_left_behind_is_marked(project):
    for name in ("01_a", "02_b", "03_c"):
        write_notebook(project / f"notebooks/{name}.ipynb", "n = 1", f"print('{name}', 'says', 1 / n)")
    config, page = project / "config/c.yaml", project / "data/report/index.html"
    run_notebooks(config)
    assert "earlier run" not in page.read_text()
    run_notebooks(config, last="02")
    assert sections(page) == {"01_a": False, "02_b": False, "03_c": True}
    write_notebook(project / "notebooks/02_b.ipynb", "n = 0", "print('02_b', 'says', 1 / n)")
    with pytest.raises(NotebookError, match="ZeroDivisionError"):
        run_notebooks(config)
    assert sections(page) == {"01_a": False, "02_b": False, "03_c": True}
    assert "02_b says" not in page.read_text()
    assert '<a href="#03_c">03 c (earlier run)</a>' in page.read_text()


@pytest.mark.slow
def test_a_notebook_finds_nothing_of_the_one_before(project):
    write_notebook(project / "notebooks/01_a.ipynb", "n = 1", "left = 'something'; left")
    write_notebook(
        project / "notebooks/02_b.ipynb", "n = 2", "'left' in globals(), '_' in globals(), len(Out), n"
    )
    run_notebooks(project / "config/c.yaml")
    text = (project / "data/report/index.html").read_text()
    assert "something" in text
    assert "(False, False, 0, 2)" in text


@pytest.mark.slow
def test_a_kernel_that_is_killed_is_a_sentence_with_its_cell(project):
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    write_notebook(project / "notebooks/01_a.ipynb", "n = 1", killed)
    with pytest.raises(NotebookError, match=r"01_a.ipynb, cell 1: Python was killed .* memory") as caught:
        run_notebooks(project / "config/c.yaml")
    assert "trace" not in str(caught.value)


def sections(page):
    """Which notebooks on the page are marked as older than the last run; the first section is the summary."""
    parts = page.read_text().split('<section id="')[2:]
    return {part.partition('"')[0]: "From an earlier run: " in part for part in parts}


@pytest.mark.slow
def test_a_run_to_the_end_draws_the_map_last(project):
    for name in ("00_map", "01_a", "02_b"):
        write_notebook(
            project / f"notebooks/{name}.ipynb", "n = 1", "import time; print('at', time.time_ns())"
        )
    config, page = project / "config/c.yaml", project / "data/report/index.html"
    for first in ("", "02"):
        run_notebooks(config, first=first)
        times = [int(t) for t in re.findall(r"at (\d+)", page.read_text())]
        assert len(times) == 3
        assert times == sorted(times)  # in the order of the page: 01, 02, 00
    assert "earlier run" not in page.read_text()


def test_a_damaged_copy_of_an_earlier_run_is_left_out_of_the_report(tmp_path):
    output = nbformat.v4.new_output("stream", text="12 faces")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[output])])
    nbformat.write(notebook, tmp_path / "01_x.ipynb")
    whole = (tmp_path / "01_x.ipynb").read_bytes()
    for number, damaged in enumerate((b"", whole[:-20], b"[]", b"{}", b"\xff\xfe\0", b"null"), start=2):
        (tmp_path / f"{number:02d}_x.ipynb").write_bytes(damaged)
        assert "12 faces" in write_report(tmp_path, last="01_x.ipynb").read_text()


COMMAND = [sys.executable, "-c", "from facestats.surfaces.cli.commands import main; main()"]


def limit_files(n_bytes):
    """Let every write beyond this size of a file fail in this process and in those that it starts."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, resource.RLIM_INFINITY))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limit")
def test_a_full_disk_under_the_executed_copy_is_exit_5_and_the_next_run_goes_on(project):
    write_notebook(project / "notebooks/01_a.ipynb", "n = 1", "'ready'")
    write_notebook(project / "notebooks/02_b.ipynb", "n = 1", "'x' * 300_000")
    command = [*COMMAND, "run", "--config", str(project / "config/c.yaml")]
    out = subprocess.run(
        command, preexec_fn=lambda: limit_files(100_000), capture_output=True, text=True, check=False
    )
    said = [line for line in out.stderr.splitlines() if line.startswith("facestats: error: ")]
    assert out.returncode == 5, out.stderr
    assert "Traceback" not in out.stderr
    assert "File too large; make room, and run the same command again" in said[-1]
    report = project / "data/report"
    assert not list(report.glob(".*"))
    page = run_notebooks(project / "config/c.yaml", first="02")
    assert "ready" in page.read_text()


WORK = """
from facestats.core.workers import map_tasks
import builtins
assert [r for _, r in map_tasks(builtins.list, ['a', 'b'], workers=2, task_size=1)]
"""


@pytest.mark.slow
@pytest.mark.skipif(not SEMAPHORES.is_dir(), reason="semaphores are no files here")
@pytest.mark.parametrize("ends", ["well", "1 / 0"])
def test_a_run_leaves_no_semaphore_and_no_temporary_folder(project, ends, monkeypatch, tmp_path):
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    pid = "import os; print('pid', os.getpid())"
    write_notebook(project / "notebooks/01_a.ipynb", "n = 1", pid, WORK, "1" if ends == "well" else ends)
    with contextlib.nullcontext() if ends == "well" else pytest.raises(NotebookError):
        run_notebooks(project / "config/c.yaml")
    number = re.search(r"pid (\d+)", (project / "data/report/index.html").read_text())[1]
    end = time.monotonic() + 10
    while left := list(SEMAPHORES.glob(f"sem.loky-{number}-*")):
        assert time.monotonic() < end, left
        time.sleep(0.1)
    assert list(temporary.iterdir()) == []
