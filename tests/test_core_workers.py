import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from facestats.core.workers import WorkerLostError, cpu_count, map_tasks, stop_workers

SECONDS = 3.0


def work(items, *, add=0):
    """Double each number; some numbers are traps."""
    results = []
    for item in items:
        if item == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "hang":
            time.sleep(600)
        if item == "raise":
            msg = "asked for it"
            raise KeyError(msg)
        results.append(2 * item + add)
    return results


def process_ids(items):
    time.sleep(0.05)
    return [os.getpid() for _ in items]


def write_on(items, *, folder):
    """Write into a folder, and make it where it is gone."""
    for item in items:
        time.sleep(0.3)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(item)).touch()
    return list(items)


def collect(items, **options):
    """All results in a list that knows which were given up."""
    out = [None] * len(items)
    starts = []
    for start, results in map_tasks(work, items, seconds=SECONDS, **options):
        starts.append(start)
        out[start : start + len(results)] = results
    assert starts == sorted(starts)
    return out


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 50])
@pytest.mark.parametrize("task_size", [1, 8])
def test_results_come_in_the_order_of_the_items(n, task_size):
    assert collect(list(range(n)), workers=2, task_size=task_size, add=1) == [2 * i + 1 for i in range(n)]


def test_work_happens_in_other_processes_that_are_kept():
    first = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=2, task_size=1) for pid in pids}
    second = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=2, task_size=1) for pid in pids}
    assert os.getpid() not in first
    assert len(first | second) <= 2
    assert first & second


def test_who_needs_fewer_workers_uses_those_that_are_there():
    first = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=2, task_size=1) for pid in pids}
    fewer = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=1, task_size=1) for pid in pids}
    again = {pid for _, pids in map_tasks(process_ids, [0] * 12, workers=2, task_size=1) for pid in pids}
    assert len(first | fewer | again) <= 2


@pytest.mark.slow
def test_an_item_that_kills_its_worker_is_named_and_costs_no_other():
    items = [*range(10), "die", *range(10, 20), "die", *range(20, 25)]
    out = collect(items, workers=2, task_size=4)
    for item, result in zip(items, out, strict=True):
        if item == "die":
            assert isinstance(result, WorkerLostError)
            assert result.status == "decode_crash"
        else:
            assert result == 2 * item


@pytest.mark.slow
def test_an_item_that_hangs_is_named_and_costs_no_other():
    items = [0, 1, "hang", 3, 4, 5]
    out = collect(items, workers=2, task_size=2)
    assert [r for r in out if not isinstance(r, WorkerLostError)] == [0, 2, 6, 8, 10]
    assert out[2].status == "decode_timeout"
    assert f"{SECONDS:g} s" in str(out[2])


@pytest.mark.slow
def test_threads_that_share_the_workers_never_pay_for_an_item_of_another():
    """An item that kills or hangs is named in its own thread; no other item, and no thread, is lost with it."""
    rounds = {"die": 4, "hang": 1, 7: 6}  # what comes first, before 20 numbers: two traps and one more number
    found = {first: [] for first in rounds}
    errors = []

    def run(first):
        try:
            for _ in range(rounds[first]):
                found[first].append(collect([first, *range(20)], workers=2, task_size=4))
        except Exception as error:  # noqa: BLE001 - whatever a thread meets is what is looked for
            errors.append((first, error))

    threads = [threading.Thread(target=run, args=(first,)) for first in rounds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    named = {first: [getattr(out[0], "status", out[0]) for out in outs] for first, outs in found.items()}
    assert named == {"die": ["decode_crash"] * 4, "hang": ["decode_timeout"], 7: [14] * 6}
    for outs in found.values():
        assert all(out[1:] == [2 * i for i in range(20)] for out in outs)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_a_pool_that_was_outgrown_ends():
    """Also where one of its tasks hangs: that one is stopped as in any other pool."""
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
    stop_workers()  # other tests count on two


def test_an_exception_of_the_function_reaches_the_caller_and_the_workers_live_on():
    with pytest.raises(KeyError, match="asked for it"):
        collect([1, "raise", 2], workers=2, task_size=1)
    assert collect([1, 2], workers=2) == [2, 4]


def test_a_caller_may_stop_early():
    for _, results in map_tasks(work, list(range(100)), workers=2, task_size=1):
        assert results == [0]
        break
    assert collect([1, 2], workers=1) == [2, 4]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_workers_write_no_more_when_the_program_ends(tmp_path):
    folder = tmp_path / "crops"

    def end_when_there_is_one():
        while not folder.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR1)

    def end(number, frame):
        raise SystemExit(143)

    before = signal.signal(signal.SIGUSR1, end)
    watcher = threading.Thread(target=end_when_there_is_one)
    watcher.start()
    try:
        with pytest.raises(SystemExit):
            list(map_tasks(write_on, list(range(40)), workers=2, folder=folder))
        shutil.rmtree(folder)
        time.sleep(1)
        assert not folder.exists()
    finally:
        watcher.join()
        signal.signal(signal.SIGUSR1, before)
    assert collect([1, 2], workers=2) == [2, 4]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_workers_do_not_outlive_a_killed_program():
    code = """
import time
from test_core_workers import map_tasks, process_ids
for _, pids in map_tasks(process_ids, [0] * 4, workers=2, task_size=1):
    print(*pids, flush=True)
print("end", flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
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


def test_workers_default_to_the_cores_of_this_process():
    assert 1 <= cpu_count() <= (os.cpu_count() or 1)
