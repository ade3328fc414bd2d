"""The commands: their help, and every expected failure is a sentence and an exit code."""

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

import facestats as fs
from tests.surfaces.conftest import write_notebook

ROOT = Path(__file__).parents[3]


def facestats(*args, cwd=ROOT):
    code = "from facestats.surfaces.cli.commands import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_a_warning_is_written_once(tmp_path):
    code = """
import logging
from facestats.surfaces.cli.commands import _warn_once
_warn_once()
for text in ("one", "one", "two"):
    logging.getLogger("facestats.x").warning(text)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["one", "two"]


def test_help_names_the_commands():
    out = facestats("--help")
    assert out.returncode == 0
    for command in (
        "run",
        "status",
        "extract",
        "explore",
        "rate",
        "audit",
        "app",
        "serve",
        "doctor",
        "fetch",
        "demo",
        "init",
        "notebooks",
    ):
        assert command in out.stdout


def test_every_command_shows_an_example():
    from facestats.surfaces.cli.commands import app

    for command in app.registered_commands:
        assert "xample" in command.callback.__doc__, command.callback.__name__


def test_a_misspelt_setting_is_exit_2_and_one_sentence(project):
    (project / "config/c.yaml").write_text("data_dri: x\n")
    out = facestats("status", "--config", project / "config/c.yaml")
    assert out.returncode == 2
    assert out.stderr.startswith("facestats: error: ")
    assert "did you mean 'data_dir'?" in out.stderr
    assert "Traceback" not in out.stderr


def test_no_pictures_is_exit_4(project):
    shutil.rmtree(project / "data/raw")
    out = facestats("status", "--config", project / "config/c.yaml")
    assert out.returncode == 4
    assert "is not a folder. Put your pictures there" in out.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_a_stop_ends_the_kernel_too_and_leaves_no_temporary_folder(project):
    begun, temporary = project / "begun", project / "t"
    temporary.mkdir()
    write_notebook(
        project / "notebooks/01_a.ipynb",
        "import os, pathlib, time",
        f"pathlib.Path({str(begun)!r}).write_text(str(os.getpid())); time.sleep(300)",
    )
    command = [sys.executable, "-c", "from facestats.surfaces.cli.commands import main; main()", "run"]
    run = subprocess.Popen(
        [*command, "--config", str(project / "config/c.yaml")],
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while not (begun.exists() and begun.read_text()) and run.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    run.send_signal(signal.SIGTERM)
    _, said = run.communicate(timeout=60)
    assert run.returncode == 143, said
    assert "Traceback" not in said
    assert not Path(f"/proc/{begun.read_text()}").exists()
    assert not list(temporary.glob("facestats-*"))
    assert (project / "data/report/index.html").is_file()


@pytest.mark.slow
def test_retry_failed_reaches_the_notebooks_that_know_it(project):
    write_notebook(project / "notebooks/01_a.ipynb", "retry_failed = False", "print('again:', retry_failed)")
    write_notebook(project / "notebooks/02_b.ipynb", "config = None", "print('retry_failed' in globals())")
    out = facestats("run", "--config", project / "config/c.yaml", "--retry-failed", cwd=project)
    assert out.returncode == 0, out.stderr
    assert "unknown parameter" not in out.stderr
    text = (project / "data/report/index.html").read_text()
    assert "again: True" in text
    assert "False" in text
    for name in ("01_faces", "02_embeddings"):
        cells = nbformat.read(ROOT / f"notebooks/{name}.ipynb", as_version=4).cells
        source = next(c.source for c in cells if "parameters" in c.metadata.get("tags", []))
        assert "retry_failed = False" in source
        assert sum("retry_failed=retry_failed" in c.source for c in cells) == 1


@pytest.mark.slow
def test_run_ends_with_the_code_of_the_error_in_the_notebook(project):
    (project / "notebooks").mkdir()
    cell = "from facestats.store.locks import LockedError\nraise LockedError('table is being built')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbformat.write(notebook, project / "notebooks/01_faces.ipynb")
    out = facestats("run", "--config", project / "config/c.yaml", cwd=project)
    assert out.returncode == 6, out.stderr
    assert "01_faces.ipynb, cell 0: LockedError: table is being built" in out.stderr


@pytest.mark.slow
def test_run_says_how_many_pictures_failed_and_ends_with_3_if_most_did(project):
    for i in range(3):
        (project / f"data/raw/broken_{i}.jpg").write_bytes(b"\xff\xd8\xff")
    out = facestats("run", "--config", project / "config/c.yaml", "--to", "01", cwd=project)
    n = fs.Store(project / "data").read("faces").height
    assert out.returncode == 3, out.stderr
    assert re.search(
        rf"^facestats: \d of {n} pictures failed; the report says why$", out.stderr, re.MULTILINE
    )
