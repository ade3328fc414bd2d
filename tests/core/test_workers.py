import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from facestats.core.workers import WorkerLostError, cpu_count, map_tasks

SECONDS = 3.0


def work(items, *, add=0):
    """Double each number; some items are traps."""
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


def write_on(items, *, folder):
    """Write into a folder, and create it again if it was deleted."""
    for item in items:
        time.sleep(0.3)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / str(item)).touch()
    return list(items)


def collect(items, **options):
    """Return the results of all items in their order."""
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


@pytest.mark.slow
def test_an_item_that_kills_its_worker_is_named_and_no_other_is_lost():
    items = [*range(10), "die", *range(10, 20), "die", *range(20, 25)]
    out = collect(items, workers=2, task_size=4)
    for item, result in zip(items, out, strict=True):
        if item == "die":
            assert isinstance(result, WorkerLostError)
            assert result.status == "decode_crash"
        else:
            assert result == 2 * item


@pytest.mark.slow
def test_an_item_that_hangs_is_named_and_no_other_is_lost():
    items = [0, 1, "hang", 3, 4, 5]
    out = collect(items, workers=2, task_size=2)
    assert [r for r in out if not isinstance(r, WorkerLostError)] == [0, 2, 6, 8, 10]
    assert out[2].status == "decode_timeout"
    assert f"{SECONDS:g} s" in str(out[2])


@pytest.mark.slow
def test_threads_that_share_the_workers_lose_nothing_to_an_item_of_another():
    """An item that kills or hangs is named in its own thread; no other item and no other thread is affected."""
    rounds = {"die": 4, "hang": 1, 7: 6}  # the first item, before 20 numbers: two traps and a number
    found = {first: [] for first in rounds}
    errors = []

    def run(first):
        try:
            for _ in range(rounds[first]):
                found[first].append(collect([first, *range(20)], workers=2, task_size=4))
        except Exception as error:  # noqa: BLE001 - any error in a thread fails the test
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


def test_an_exception_of_the_function_reaches_the_caller_and_the_next_call_works():
    with pytest.raises(KeyError, match="asked for it"):
        collect([1, "raise", 2], workers=2, task_size=1)
    assert collect([1, 2], workers=2) == [2, 4]


def test_a_caller_may_stop_early():
    for _, results in map_tasks(work, list(range(100)), workers=2, task_size=1):
        assert results == [0]
        break
    assert collect([1, 2], workers=1) == [2, 4]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_workers_stop_writing_when_the_program_ends(tmp_path):
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


@pytest.mark.slow
def test_the_program_can_continue_and_end_after_an_interrupt_anywhere():
    """Ctrl-C raises between any two steps of the main thread; at none of them may the pool stay locked."""
    code = """
import sys
from facestats.core.worker_pool import stop_workers
from facestats.core.workers import map_tasks

def interrupted(n):
    left = n

    def step(*_):
        nonlocal left
        left -= 1
        if left == 0:
            sys.setprofile(None)
            raise KeyboardInterrupt

    try:
        sys.setprofile(step)
        list(map_tasks(list, [1, 2, 3], workers=1, task_size=1))
        sys.setprofile(None)
    except KeyboardInterrupt:
        pass
    stop_workers()
    return left <= 0

n = 1
while interrupted(n):
    n += 1
print(n, *map_tasks(list, [1, 2, 3], workers=1))
"""
    program = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert program.stderr == ""
    steps, results = program.stdout.split(maxsplit=1)
    assert int(steps) > 20
    assert results == "(0, [1, 2, 3])\n"


def test_workers_default_to_the_cores_of_this_process():
    assert 1 <= cpu_count() <= (os.cpu_count() or 1)
