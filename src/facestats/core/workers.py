"""Worker processes for work that may crash or hang: decoding untrusted bytes, landmark models.

The processes are started afresh (never forked: Mediapipe hangs after a fork), kept for the next call,
shared by all threads, and replaced when one dies. Work travels in small tasks; a task whose worker dies or hangs
is run again item by item in a process that no other thread uses, and an item that takes that one down twice is
given up and named.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import threading
import time
import warnings
from collections import deque
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loky import ProcessPoolExecutor

TASK_SECONDS = 120.0
_IDLE_SECONDS = 300  # workers that wait longer go home

# one pool for all threads: that of loky's get_reusable_executor belongs to the thread that asked for it
_pool: tuple[int, ProcessPoolExecutor] | None = None
_pool_lock = threading.Lock()
_ended = False


class WorkerLostError(RuntimeError):
    """A worker died (`status` decode_crash) or hung (decode_timeout) on one item."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


def cpu_count() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_tasks(
    func: Callable[..., list],
    items: Sequence[Any],
    *,
    workers: int = 0,
    task_size: int = 8,
    seconds: float = TASK_SECONDS,
    **shared: Any,
) -> Iterator[tuple[int, list]]:
    """Apply ``func(items[a:b], **shared)`` in worker processes, a task of `task_size` items at a time.

    Parameters
    ----------
    func
        Importable function from a list of items to a list of as many results.
    items
        What to work on; must pickle.
    workers
        Number of processes, 0 for one per core.
    task_size
        Items per task.
    seconds
        Time after which a task counts as hung.
    shared
        Further arguments, the same for all tasks.

    Yields
    ------
    ``(a, results)`` per task, in the order of `items`. The result of an item that took down its worker
    twice is a :class:`WorkerLostError`. At most a few tasks are under way, so memory stays bounded.
    """
    from loky.process_executor import ShutdownExecutorError

    n_workers = workers or cpu_count()
    starts = deque(range(0, len(items), task_size))
    running: deque[tuple[int, ProcessPoolExecutor, Future]] = deque()
    try:
        while starts or running:
            while starts and len(running) < _room(n_workers):
                start = starts.popleft()
                task = items[start : start + task_size]
                running.append((start, *_submit(func, task, shared, workers=n_workers)))
            start, pool, future = running.popleft()
            try:
                results = _result(future, seconds)
            except ShutdownExecutorError:  # another thread stopped the workers: the task is innocent
                _take_back(running, starts)
                starts.appendleft(start)
                continue
            except (BrokenExecutor, TimeoutError):
                _stop_workers(pool)
                # the tasks behind it lost their workers too: they start again, whole
                _take_back(running, starts)
                results = _one_by_one(func, items[start : start + task_size], shared, seconds=seconds)
            yield start, results
    except (KeyboardInterrupt, SystemExit):  # or a worker writes on into folders that are being cleared away
        stop_workers()
        raise
    finally:  # the caller stopped early: nobody wants the rest
        _take_back(running, starts)


def _take_back(running: deque[tuple[int, ProcessPoolExecutor, Future]], starts: deque[int]) -> None:
    """Cancel the tasks under way, and put them before those that have not begun."""
    for _, _, future in running:
        future.cancel()
    starts.extendleft(reversed([start for start, _, _ in running]))
    running.clear()


def _submit(
    func: Callable[..., list], items: Sequence[Any], shared: dict[str, Any], *, workers: int
) -> tuple[ProcessPoolExecutor, Future]:
    """Hand a task to the shared workers; return it with the pool that has it, which may be another one soon."""
    from loky.process_executor import ShutdownExecutorError

    while True:
        pool = _executor(workers)
        try:
            return pool, pool.submit(func, list(items), **shared)
        except (BrokenExecutor, ShutdownExecutorError):  # a worker died idle, or another thread stopped them
            _stop_workers(pool)


def _room(workers: int) -> int:
    """Tasks that may be under way: some wait, so that no worker does; in a larger pool only as many as asked for."""
    return workers if _pool is not None and _pool[0] > workers else 2 * workers + 1


def _executor(workers: int) -> ProcessPoolExecutor:
    """Return the processes for all threads of this program; who needs more of them than there are, gets a new pool."""
    global _pool  # noqa: PLW0603
    with _pool_lock:
        if _pool is None or _pool[0] < workers:
            if _pool is not None:
                _pool[1].shutdown(wait=False)  # what it has still to do is done
            _pool = (workers, _new_pool(workers))
            _stop_at_exit()
        return _pool[1]


def _new_pool(workers: int) -> ProcessPoolExecutor:
    from loky import ProcessPoolExecutor

    if _ended:
        msg = "the program is ending: no more workers are started"
        raise RuntimeError(msg)
    # loky replaces a worker whose memory grew, as large pictures make it; that is no news for the user
    warnings.filterwarnings("ignore", message="A worker .* while some jobs", category=UserWarning)
    return ProcessPoolExecutor(
        workers, timeout=_IDLE_SECONDS, initializer=_depend_on, initargs=(os.getpid(),)
    )


def _depend_on(parent: int) -> None:
    """In a worker: leave Ctrl-C to the main process, which then wants no more results, and end when it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name != "nt":  # where a process keeps the number of a dead parent
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _result(future: Future, seconds: float) -> list:
    if not wait([future], timeout=seconds, return_when=FIRST_COMPLETED).done:
        msg = f"no answer within {seconds:g} s"
        raise TimeoutError(msg)
    return future.result()


def _one_by_one(
    func: Callable[..., list], items: Sequence[Any], shared: dict[str, Any], *, seconds: float
) -> list[Any | WorkerLostError]:
    """Results of the items of one task from a worker that nobody else uses: only its item can take it down."""
    cell: ProcessPoolExecutor | None = None
    results: list[Any | WorkerLostError] = []
    try:
        for item in items:
            for _ in range(2):
                cell = cell or _new_pool(1)
                result = _alone(cell, func, item, shared, seconds=seconds)
                if not isinstance(result, WorkerLostError):
                    break
                cell.shutdown(wait=True, kill_workers=True)
                cell = None
            results.append(result)
    finally:
        if cell is not None:
            cell.shutdown(wait=True, kill_workers=True)
    return results


def _alone(
    cell: ProcessPoolExecutor, func: Callable[..., list], item: Any, shared: dict[str, Any], *, seconds: float
) -> Any | WorkerLostError:
    """Result of one item, or what became of the worker."""
    try:
        # starting and importing take time that is not the item's fault
        _result(cell.submit(_ready, [func]), TASK_SECONDS)
        return _result(cell.submit(func, [item], **shared), seconds)[0]
    except BrokenExecutor:
        return WorkerLostError("decode_crash", "the worker process died on this picture, twice")
    except TimeoutError:
        return WorkerLostError("decode_timeout", f"no result within {seconds:g} s, twice")


def _ready(items: Sequence[Any]) -> list:
    return list(items)


@functools.cache
def _stop_at_exit() -> None:
    atexit.register(end_workers)


def end_workers() -> None:
    """Stop the shared processes at the end of the program, whatever they do; there will be no others."""
    global _ended  # noqa: PLW0603
    _ended = True
    stop_workers()


def stop_workers() -> None:
    """Stop the shared processes now, whatever they do; the next task starts new ones."""
    if (pool := _pool) is not None:
        _stop_workers(pool[1])


def _stop_workers(pool: ProcessPoolExecutor) -> None:
    """Kill the processes of this pool, and of no other that has taken its place since."""
    global _pool  # noqa: PLW0603
    with _pool_lock:
        current = _pool is not None and _pool[1] is pool
        if current:
            _pool = None
    if current:
        pool.shutdown(wait=True, kill_workers=True)
    else:  # stopped by another thread, or outgrown while one of its tasks hangs
        for process in list(pool._processes.values()):
            process.terminate()
