"""Every expected failure is one sentence and an exit code, wherever it was raised."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

import facestats as fs
from facestats.core.config import ConfigError
from facestats.core.protocols import ModelError
from facestats.store.locks import LockedError, StoreError
from facestats.surfaces.cli.exit_codes import (
    CODES,
    EPILOG,
    Commands,
    describe_error,
    exit_code,
    signals_as_exceptions,
)
from facestats.surfaces.notebooks.run import NotebookError

ROOT = Path(__file__).parents[3]
EXPECTED = [
    (ConfigError("x"), 2),
    (fs.tables.TableError("x"), 2),
    (fs.inputs.CaptionError("x"), 2),
    (fs.human_labels.LabelError("x"), 2),
    (FileExistsError("x"), 2),
    (FileNotFoundError("x"), 4),
    (StoreError("x"), 5),
    (ModelError("x"), 5),
    (MemoryError(), 5),
    (OSError(errno.ENOSPC, "No space left on device", "a/b.parquet"), 5),
    (PermissionError(errno.EACCES, "Permission denied", "a"), 5),
    (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a"), 5),
    (ModuleNotFoundError("No module named 'torch'"), 5),
    (LockedError("x"), 6),
    (KeyboardInterrupt(), 130),
    (RuntimeError("x"), None),
    (ValueError("x"), None),
    (SystemExit(3), None),
]


@pytest.mark.parametrize(("error", "code"), EXPECTED, ids=lambda v: type(v).__name__)
def test_a_class_of_errors_has_a_code(error, code):
    assert exit_code(error) == code
    if code is not None:
        assert len(describe_error(error).splitlines()) == 1


@pytest.mark.parametrize(("error", "code"), EXPECTED, ids=lambda v: type(v).__name__)
def test_an_error_in_a_notebook_has_the_code_of_its_class(error, code):
    if isinstance(error, SystemExit):
        return
    kind = type(error).__name__
    assert exit_code(NotebookError(Path("notebooks/03_x.ipynb"), 4, f"{kind}: x", kind)) == (code or 1)


def test_the_sentence_names_file_and_remedy():
    assert describe_error(EXPECTED[9][0]).startswith(
        "a/b.parquet: No space left on device; make room, and run"
    )
    assert "permissions" in describe_error(EXPECTED[10][0])
    assert "memory" in describe_error(MemoryError())
    assert "facestats doctor" in describe_error(ImportError("libGL.so.1: cannot open shared object file"))
    assert describe_error(FileNotFoundError("no picture found in x")) == "no picture found in x"


def run_command(*lines):
    """Make a command line program whose only command runs these lines."""
    body = "\n    ".join(lines)
    code = f"""
import tempfile, time, typer
from facestats.surfaces.cli.exit_codes import Commands, end_without_teardown, signals_as_exceptions
app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)
@app.callback()
def all_of_them(): pass
@app.command()
def work():
    {body}
with end_without_teardown(), signals_as_exceptions():
    app(["work"])
"""
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        ("OSError(28, 'No space left on device', 'x')", 5, "x: No space left on device; make room"),
        ("MemoryError", 5, "not enough memory"),
        ("KeyboardInterrupt", 130, "interrupted; finished chunks are kept"),
    ],
)
def test_a_command_ends_with_a_sentence(raised, code, said):
    out = subprocess.run(run_command(f"raise {raised}"), capture_output=True, text=True, check=False)
    assert out.returncode == code
    assert said in out.stderr
    assert out.stderr.startswith("facestats: error: ")
    assert "Traceback" not in out.stderr


def test_a_bug_keeps_its_trace_and_usage_its_code():
    out = subprocess.run(
        run_command("raise RuntimeError('odd')"), capture_output=True, text=True, check=False
    )
    assert out.returncode == 1
    assert "Traceback" in out.stderr
    app = typer.Typer(cls=Commands)
    app.command()(lambda: None)
    with pytest.raises(SystemExit) as ended:
        app(["--no-such-option"])
    assert ended.value.code == 2


def test_at_the_end_threads_are_waited_for_and_nothing_is_taken_apart():
    slow = "class Slow:\n        def __del__(self, write=os.write): write(1, b'apart')"
    lines = (
        slow,
        "sys.keep = Slow()",
        "atexit.register(print, 'later')",
        "threading.Thread(target=lambda: (time.sleep(0.5), print('thread'))).start()",
        "raise SystemExit(4)",
    )
    command = run_command("import atexit, os, sys, threading", *lines)
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    assert out.stdout.split() == ["thread", "later"], out.stderr
    assert out.returncode == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_standard_output_is_exit_5():
    with Path("/dev/full").open("w") as full:
        out = subprocess.run(
            run_command("print('x' * 100_000)"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert out.returncode == 5, out.stderr
    assert "No space left on device; make room" in out.stderr
    assert "Traceback" not in out.stderr


def test_who_reads_no_further_is_no_failure_of_ours():
    command, pipe = run_command("while True: print('x' * 1000)"), subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as run:
        run.stdout.readline()
        run.stdout.close()
        assert run.wait(30) == 1
        assert run.stderr.read() == ""


def stop_command(*lines, numbers, environment=None, before=""):
    """Send signals to a command once it prints ready; return its exit code and its output."""
    run = subprocess.Popen(
        ["sh", "-c", f'{before}exec "$@"', "sh", *run_command("import os, signal, sys", *lines)],
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert run.stdout.readline() == "ready\n", run.stderr.read()
    for number in numbers:
        time.sleep(0.2)
        run.send_signal(number)
    said, errors = run.communicate(timeout=30)
    return run.returncode, said, errors


STOPS = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
HAS_SIGNALS = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")


@HAS_SIGNALS
def test_handlers_and_timer_come_back():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(SystemExit) as ended, signals_as_exceptions():
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 143
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@HAS_SIGNALS
@STOPS
def test_a_stop_leaves_no_temporary_folder(number, code, tmp_path):
    lines = (
        "with tempfile.TemporaryDirectory() as folder:",
        "    print('ready', flush=True); time.sleep(60)",
    )
    ended, _, errors = stop_command(*lines, numbers=[number], environment={"TMPDIR": str(tmp_path)})
    assert ended == code
    word = "terminated" if number == signal.SIGTERM else "interrupted"
    sentence = f"facestats: error: {word}; finished chunks are kept; run the same command again to continue\n"
    assert errors.endswith(sentence)
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


@HAS_SIGNALS
@STOPS
def test_a_stop_comes_again_where_a_library_swallowed_it(number, code):
    """Python itself does this in a finalizer: it prints the exception, drops it and continues."""
    slow = "class Slow:\n        def __del__(self): print('ready', flush=True); time.sleep(60)"
    ended, said, errors = stop_command(slow, "Slow()", "print('went on')", "time.sleep(60)", numbers=[number])
    assert "Exception ignored" in errors
    assert ended == code
    assert said == "went on\n"


@pytest.mark.slow
@HAS_SIGNALS
def test_clearing_away_is_not_cut_short():
    lines = (
        "try: print('ready', flush=True); time.sleep(60)",
        "finally: time.sleep(1.5); print('cleared', flush=True)",
    )
    assert stop_command(*lines, numbers=[signal.SIGTERM] * 2)[:2] == (143, "cleared\n")


@pytest.mark.slow
@HAS_SIGNALS
def test_ctrl_c_stays_switched_off_for_a_program_in_the_background():
    lines = ("print('ready', flush=True)", "time.sleep(2)", "print('finished')")
    assert stop_command(*lines, numbers=[signal.SIGINT], before="trap '' INT; ")[:2] == (0, "finished\n")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_a_closed_folder_of_pictures_is_exit_5(tmp_path):
    (tmp_path / "raw").mkdir(mode=0o000)
    with pytest.raises(PermissionError) as caught:
        fs.list_images(tmp_path / "raw")
    assert exit_code(caught.value) == 5


def test_help_and_readme_list_the_codes():
    code = "from facestats.surfaces.cli.commands import main; main()"
    out = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert "6 another run holds" in " ".join(out.stdout.split())
    readme = " ".join((ROOT / "README.md").read_text().split())
    for number in {str(n) for n in CODES.values()} | {"0", "1", "3", "143"}:
        assert f"{number} " in EPILOG
        assert f"| {number} |" in readme
