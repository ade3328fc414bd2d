"""Whatever stops a run, the next one ends with the tables of an undisturbed run, row by row, and leaves nothing behind.

The short form is part of the suite; `make faults` does 500 kills, one of them at each step that a run takes on files.
`FACESTATS_FAULTS` is the number of kills.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

if os.name == "nt":
    pytest.skip("Windows cannot fork", allow_module_level=True)

N_KILLS = int(os.environ.get("FACESTATS_FAULTS", "40"))
AT_LENGTH = N_KILLS > 40
IN_A_ROW = 5 if AT_LENGTH else 10  # kills of one project before a run ends undisturbed
pytestmark = pytest.mark.slow


class Forks:
    """The process that starts trials; see `forks`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.forks"]
        environment = {**os.environ, "POLARS_MAX_THREADS": "1", "TQDM_DISABLE": "1"}
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, *requests):
        self.process.stdin.write(json.dumps(requests) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def one(self, folder, call="make_all", **fault):
        (ended,) = self({"folder": str(folder), "call": call, **fault})
        assert "Traceback" not in ended["said"], ended["said"]
        return ended

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def forks():
    started = Forks()
    yield started
    started.close()


@pytest.fixture(scope="module")
def undisturbed(forks, tmp_path_factory):
    """A project after its first run whose pictures then changed, what a run makes of it, and the steps of that run."""
    first = tmp_path_factory.mktemp("faults") / "first"
    first.mkdir()
    for call in ("draw", "make_all", "grow"):
        assert forks.one(first, call)["code"] == 0
    whole = copy(first, first.with_name("whole"))
    steps = forks.one(whole, at=None)["steps"]
    told = forks.one(whole, "tell")["told"]
    assert set(told["states"].values()) == {"fresh"}
    assert (told["lost"], told["left"]) == ([], [])
    return first, told, steps


def copy(source, target):
    shutil.copytree(source, target, copy_function=shutil.copy2)  # times count
    return target


@pytest.fixture
def project(undisturbed, tmp_path):
    return copy(undisturbed[0], tmp_path / "p")


def check(forks, folder, undisturbed):
    """The next run ends, and everything is as after an undisturbed run."""
    ended = forks.one(folder, "finish")
    assert (ended["code"], ended["said"]) == (0, "")
    for name, rows in undisturbed[1]["tables"].items():
        assert ended["told"]["tables"][name] == rows, name
    assert ended["told"] == undisturbed[1]


def chains(n, length):
    return [range(start, min(start + length, n)) for start in range(0, n, length)]


@pytest.mark.parametrize("numbers", chains(N_KILLS, IN_A_ROW), ids=lambda numbers: str(numbers[0]))
def test_kill_9_at_a_named_step_or_at_random(forks, undisturbed, project, numbers):
    n_steps = len(undisturbed[2])
    for number in numbers:
        rng = random.Random(number)
        if number % 2 and not AT_LENGTH:
            fault = {"after": rng.uniform(0, 0.8), "number": signal.SIGKILL}
        elif AT_LENGTH and number < n_steps:
            fault = {"at": number + 1}
        else:
            fault = {"at": rng.randrange(1, n_steps)}
        ended = forks.one(project, **fault)
        assert ended["killed"] == signal.SIGKILL or ended["code"] == 0
    check(forks, project, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_stop_ends_with_its_code(forks, undisturbed, project, number):
    for i in range(N_KILLS // 8):
        ended = forks.one(project, after=random.Random(i).uniform(0, 0.7), number=int(number))
        assert ended["killed"] in {0, number}, ended  # before the handlers are there, the signal kills
        cut_short = "the run was interrupted. Run again" in ended["said"]
        assert cut_short or ended["code"] in {0, None, 128 + number}, ended
    check(forks, project, undisturbed)


@pytest.mark.parametrize("limit", range(0, 30_000, 1_000) if AT_LENGTH else (1, 2_500, 6_000))
def test_no_room_for_a_file_is_exit_5_and_the_old_tables_stay(forks, undisturbed, project, limit):
    before = forks.one(project, "tell")["told"]["tables"]
    ended = forks.one(project, limit=max(limit, 1))
    assert ended["code"] in {0, 5}, ended
    # Polars does not notice this limit, but the check of the file that it wrote does
    assert ended["code"] == 0 or "processed" in ended["said"] or "preprocessed" in ended["said"], ended
    if limit == 1:
        assert forks.one(project, "tell")["told"]["tables"] == before
    check(forks, project, undisturbed)


@pytest.fixture
def small_disk(tmp_path):
    """A function that mounts a disk of so many kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def mount(size):
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk is not allowed here")
        mounted.append(folder)
        return folder

    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("free", range(0, 240, 8) if AT_LENGTH else (8, 60))
def test_a_full_disk_is_exit_5_and_the_next_run_goes_on(forks, undisturbed, small_disk, free):
    disk = small_disk(4_000)
    project = copy(undisturbed[0], disk / "p")
    room = shutil.disk_usage(disk).free - free * 1024
    (disk / "filler").write_bytes(b"\0" * max(0, room))
    ended = forks.one(project)
    assert ended["code"] in {0, 5}, ended
    # where Polars does not notice that the disk is full, the check of the file that it wrote does
    assert ended["code"] == 0 or "No space left on device" in ended["said"] or " MB free" in ended["said"], (
        ended
    )
    (disk / "filler").unlink()
    check(forks, project, undisturbed)


def test_a_folder_without_permission_is_exit_5(forks, undisturbed, project):
    for path in (project, *project.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (project, *project.parents):
        if path != Path("/tmp") and path.owner() == Path.home().owner() and path != Path("/"):
            path.chmod(path.stat().st_mode | 0o555)
    ended = forks.one(project, nobody=True)
    assert ended["code"] == 5, ended
    assert "ermission" in ended["said"], ended
    for path in (project, *project.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    check(forks, project, undisturbed)


def test_of_two_runs_at_once_one_says_that_the_other_works(forks, undisturbed, project):
    for _ in range(N_KILLS // 20):
        request = {"folder": str(project), "call": "make_all"}
        codes = [(ended["code"], ended["said"]) for ended in forks(request, request)]
        assert (0, "") in codes or [code for code, _ in codes] == [6, 6], codes
        for code, said in codes:
            assert code in {0, 6}, codes
            assert code == 0 or "Wait until it ends, or stop it; then run again" in said
    check(forks, project, undisturbed)


@pytest.mark.parametrize(
    "clock", [[-3600.0, 3600.0, 0.0], [3e7], [-1.7e9]], ids=["to and fro", "ahead", "1972"]
)
def test_a_clock_that_jumps_changes_nothing(forks, undisturbed, project, clock):
    assert forks.one(project, clock=clock)["code"] == 0
    check(forks, project, undisturbed)


@pytest.mark.parametrize("seed", range(N_KILLS // 8))
def test_cut_and_flipped_files_are_named_or_mended(forks, undisturbed, project, seed):
    rng = random.Random(seed)
    forks.one(
        project, at=rng.randrange(len(undisturbed[2]) // 2, len(undisturbed[2]))
    )  # chunks, several versions
    files = [path for path in (project / "processed").rglob("*") if path.is_file() and path.stat().st_size]
    for path in rng.sample(files, k=min(3, len(files))):
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data[: rng.choice([len(data), rng.randrange(len(data))])])
    check(forks, project, undisturbed)


def test_a_store_of_an_earlier_release_is_read_and_gets_checksums(forks, undisturbed, project):
    for manifest in (project / "processed/.facestats").glob("*/checksums.json"):
        manifest.unlink()
    for number in (60, 200):
        forks.one(project, at=number)
    check(forks, project, undisturbed)
