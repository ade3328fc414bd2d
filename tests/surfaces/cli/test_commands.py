"""The command line: thin, and every expected failure is a sentence and an exit code."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from facestats.core.config import ConfigError
from facestats.surfaces.notebooks.report import write_report
from facestats.surfaces.notebooks.run import NotebookError, find_notebooks, run_notebooks

ROOT = Path(__file__).parents[3]


def facestats(*args, cwd=ROOT):
    code = "from facestats.surfaces.cli.commands import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, cwd=cwd, check=False
    )


def write_notebook(path, *cells):
    """A notebook whose first code cell is the cell of parameters."""
    first, *others = map(nbformat.v4.new_code_cell, cells)
    first.metadata["tags"] = ["parameters"]
    path.parent.mkdir(exist_ok=True)
    kind = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(nbformat.v4.new_notebook(cells=[first, *others], metadata=kind), path)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config/attributes.yaml", tmp_path / "config")
    (tmp_path / "config/c.yaml").write_text("data_dir: ../data\n")
    return tmp_path


def test_help_names_the_commands():
    out = facestats("--help")
    assert out.returncode == 0
    for command in ("run", "status", "extract", "explore", "rate", "audit", "app", "serve", "doctor", "demo"):
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
    out = facestats("status", "--config", project / "config/c.yaml")
    assert out.returncode == 4
    assert "is not a folder. Put your pictures there" in out.stderr


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
    found = find_notebooks(project / "config/c.yaml")
    assert found[0].parent == project / "notebooks"
    assert [p.name for p in found] == sorted(p.name for p in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


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
    with pytest.raises(NotebookError, match=r"01_a.ipynb, cell 1: Python was ended .* memory") as caught:
        run_notebooks(project / "config/c.yaml")
    assert "trace" not in str(caught.value)


def sections(page):
    """Which sections of the page are marked as older than the last run."""
    parts = page.read_text().split('<section id="')[1:]
    return {part.partition('"')[0]: "From an earlier run: " in part for part in parts}


@pytest.mark.slow
def test_run_ends_with_the_code_of_the_error_in_the_notebook(project):
    (project / "notebooks").mkdir()
    cell = "from facestats.store.locks import LockedError\nraise LockedError('table is being built')"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    nbformat.write(notebook, project / "notebooks/01_faces.ipynb")
    out = facestats("run", "--config", project / "config/c.yaml", cwd=project)
    assert out.returncode == 6, out.stderr
    assert "01_faces.ipynb, cell 0: LockedError: table is being built" in out.stderr
