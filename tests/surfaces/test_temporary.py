import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from facestats.surfaces.temporary import (
    temporary_environment,
    temporary_folder,
    temporary_handlers,
    temporary_log_level,
)


def fail_inside(context, look):
    """What `look` returns inside a block that then fails."""
    seen = []
    with contextlib.suppress(KeyError), context:
        seen.append(look())
        raise KeyError
    return seen[0]


def test_a_log_level_comes_back_even_after_an_error():
    logger = logging.getLogger("facestats-test")
    logger.setLevel(logging.INFO)
    assert (
        fail_inside(temporary_log_level("facestats-test", logging.ERROR), lambda: logger.level)
        == logging.ERROR
    )
    assert logger.level == logging.INFO


def test_environment_variables_come_back_even_after_an_error(monkeypatch):
    monkeypatch.setenv("FACESTATS_TEST_A", "before")
    monkeypatch.delenv("FACESTATS_TEST_B", raising=False)
    before = dict(os.environ)
    changes = {"FACESTATS_TEST_A": "inside", "FACESTATS_TEST_B": "new"}
    assert fail_inside(temporary_environment(**changes), lambda: dict(os.environ)) == before | changes
    assert dict(os.environ) == before


def test_signal_handlers_come_back_even_after_an_error():
    before = signal.getsignal(signal.SIGTERM)
    context = temporary_handlers({signal.SIGTERM: signal.default_int_handler})
    assert fail_inside(context, lambda: signal.getsignal(signal.SIGTERM)) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_folder_lasts_as_long_as_its_block_and_is_nobody_elses():
    with temporary_folder() as folder, temporary_folder("other-") as other:
        assert folder.is_dir()
        assert folder != other
        assert other.name.startswith("other-")
        assert os.name == "nt" or folder.stat().st_mode & 0o077 == 0
        (folder / "a").mkdir()
        (folder / "a/b").write_text("x")
    assert not folder.exists()
    with pytest.raises(KeyError), temporary_folder() as folder:
        raise KeyError
    assert not folder.exists()


def test_a_block_may_clear_its_folder_away():
    with temporary_folder() as folder:
        folder.rmdir()
    assert not folder.exists()


def test_nowhere_to_write_is_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(OSError, match="set TMPDIR, or make room"), temporary_folder():
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows has no locks of folders")
def test_what_a_killed_process_left_is_removed_and_what_lives_stays(tmp_path, monkeypatch):
    code = """
import sys, time
from facestats.surfaces.temporary import temporary_folder
with temporary_folder() as folder:
    (folder / "socket").touch()
    print(folder, flush=True)
    time.sleep(60)
"""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    dead, alive = (Path(process.stdout.readline().decode().strip()) for process in started)
    started[0].kill()
    started[0].communicate()
    for name in ("facestats-example-ab12", "other.run"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    try:
        with temporary_folder():
            assert not dead.exists()
            assert alive.exists()
            assert (tmp_path / "facestats-example-ab12").exists()
    finally:
        started[1].terminate()
        started[1].communicate()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each step is a process that begins in the middle")
def test_wherever_the_program_is_interrupted_no_folder_is_left(tmp_path):
    """Each step is interrupted in its own process; at the latest, the end of the process removes the folder."""
    code = """
import os, sys, tempfile
from facestats.surfaces.temporary import (
    temporary_environment,
    temporary_folder,
    temporary_handlers,
    temporary_log_level,
)

def run(n, write):
    left = n

    def step(*_):
        nonlocal left
        left -= 1
        if left == 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(step)
    with temporary_folder() as folder:
        os.mkdir(f"{folder}/a")
    sys.setprofile(None)
    write("through")

tempfile.gettempdir()  # at its first call it tries to write a file there
n = 1
while True:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        run(n, lambda text: os.write(writing, text.encode()))
        sys.exit()
    os.close(writing)
    os.waitpid(child, 0)
    if os.read(reading, 10):
        break
    os.close(reading)
    n += 1
print(n)
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[-1]) > 50
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_leaves_the_folders_of_its_parent_alone():
    """Python 3.13 runs the functions of atexit at the end of a forked worker too."""
    code = """
import os, facestats as fs
from facestats.surfaces.temporary import temporary_folder
example = fs.testing.example_project()
with temporary_folder() as folder:
    if not (child := os.fork()):
        raise SystemExit
    os.waitpid(child, 0)
    assert folder.is_dir()
assert example.folder.is_dir()
print(example.folder)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert not Path(ended.stdout.strip()).exists()
