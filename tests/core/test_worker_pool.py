import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from facestats.core.worker_pool import stop_workers
from facestats.core.workers import map_tasks
from tests.core.test_workers import collect


def process_ids(items):
    time.sleep(0.05)
    return [os.getpid() for _ in items]


def test_work_happens_in_other_processes_that_are_kept():
    first = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=2, task_size=1) for pid in pids}
    second = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=2, task_size=1) for pid in pids}
    assert os.getpid() not in first
    assert len(first | second) <= 2
    assert first & second


def test_a_call_with_fewer_workers_uses_the_pool_that_exists():
    first = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=2, task_size=1) for pid in pids}
    fewer = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=1, task_size=1) for pid in pids}
    again = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=2, task_size=1) for pid in pids}
    assert len(first | fewer | again) <= 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_a_pool_that_a_larger_one_replaced_ends():
    """Also if one of its tasks hangs: it is stopped as in any other pool."""
    small = {pid for _, pids in map_tasks(process_ids, [0] * 4, workers=3, task_size=1) for pid in pids}
    hanging = threading.Thread(target=lambda: out.extend(collect(["hang"], workers=3)))
    out = []
    hanging.start()
    time.sleep(0.5)
    large = {pid for _, pids in map_tasks(process_ids, [0] * 40, workers=4, task_size=1) for pid in pids}
    hanging.join()
    assert [result.status for result in out] == ["decode_timeout"]
    assert collect([1, 2], workers=1) == [2, 4]
    end = time.monotonic() + 20
    while outgrown := [pid for pid in small - large if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, outgrown
        time.sleep(0.1)
    stop_workers()  # other tests expect a pool of two


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_workers_do_not_outlive_a_killed_program():
    code = """
import time
from tests.core.test_worker_pool import map_tasks, process_ids
for _, pids in map_tasks(process_ids, [0] * 4, workers=2, task_size=1):
    print(*pids, flush=True)
print("end", flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
    )
    workers = set(iter(program.stdout.readline, "end\n"))
    assert all(Path(f"/proc/{int(pid)}").exists() for pid in workers)
    program.kill()
    program.stdout.close()
    program.wait()
    end = time.monotonic() + 20
    while left := [pid for pid in workers if Path(f"/proc/{int(pid)}").exists()]:
        assert time.monotonic() < end, left
        time.sleep(0.1)
