"""Work that may crash or hang, in worker processes: decoding untrusted bytes, landmark models.

Work travels in small tasks; a task whose worker dies or hangs is run again item by item in a process that no other
thread uses, and an item that takes that one down twice is given up and named.

Each call uses the pool from a thread of its own. Ctrl-C and SIGTERM raise in the main thread between any two
instructions, within the locks of a library too, which then stay locked: the pool could not even be shut down.
"""

from __future__ import annotations

import os
import time
from _thread import allocate_lock, start_new_thread
from collections import deque
from concurrent.futures import BrokenExecutor, Future, wait
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from facestats.core.worker_pool import max_tasks, new_pool, shared_pool, stop_pool, stop_workers

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Generator, Sequence

    from loky import ProcessPoolExecutor

    _Tasks = Generator[tuple[int, list], None, None]

TASK_SECONDS = 120.0
_LOOK_SECONDS = 0.1  # how long it may take until a program that ends is noticed


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
) -> Generator[tuple[int, list], None, None]:
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
    twice is a :class:`WorkerLostError`. At most a few tasks are under way, so memory stays bounded; none is when the
    iterator is closed.
    """
    call = _Call(func, seconds, shared)
    tasks = _run_tasks(call, items, workers=workers or cpu_count(), size=task_size)
    wanted: SimpleQueue[str | None] = SimpleQueue()
    given: SimpleQueue[tuple[int, list] | BaseException | None] = SimpleQueue()
    over = allocate_lock()
    over.acquire()
    # neither a Thread nor an executor: both have locks that the main thread takes
    start_new_thread(_serve, (tasks, wanted, given, over))
    try:
        while True:
            wanted.put("next")
            answer = given.get()
            if isinstance(answer, BaseException):
                raise answer
            if answer is None:
                return
            yield answer
    except (KeyboardInterrupt, SystemExit):
        call.ended = True
        raise
    finally:
        wanted.put(None)
        over.acquire()


class _EndedError(Exception):
    """The program ends, and wants no more results."""


@dataclass
class _Call:
    """What is done with the items, and whether the program still wants it done."""

    func: Callable[..., list]
    seconds: float
    shared: dict[str, Any]
    ended: bool = False

    def submit(self, pool: ProcessPoolExecutor, items: Sequence[Any]) -> Future:
        """Hand a task to a pool."""
        return pool.submit(self.func, list(items), **self.shared)

    def result(self, future: Future, seconds: float) -> list:
        """Wait for the results of a task."""
        end = time.monotonic() + seconds
        while not wait([future], timeout=_LOOK_SECONDS).done:
            if self.ended:
                raise _EndedError
            if time.monotonic() > end:
                msg = f"no answer within {seconds:g} s"
                raise TimeoutError(msg)
        return future.result()


def _serve(
    tasks: _Tasks,
    wanted: SimpleQueue[str | None],
    given: SimpleQueue[tuple[int, list] | BaseException | None],
    over: LockType,
) -> None:
    """In the thread of a call: give the next results whenever they are wanted, None behind the last."""
    try:
        while wanted.get():
            given.put(next(tasks, None))
    except _EndedError:
        pass
    except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
        given.put(error)
    finally:
        tasks.close()
        over.release()


def _run_tasks(call: _Call, items: Sequence[Any], *, workers: int, size: int) -> _Tasks:
    from loky.process_executor import ShutdownExecutorError

    starts = deque(range(0, len(items), size))
    running: deque[tuple[int, ProcessPoolExecutor, Future]] = deque()
    try:
        while starts or running:
            while starts and len(running) < max_tasks(workers):
                start = starts.popleft()
                running.append((start, *_submit(call, items[start : start + size], workers=workers)))
            start, pool, future = running[0]
            try:
                results = call.result(future, call.seconds)
                running.popleft()
            except ShutdownExecutorError:  # another thread stopped the workers: the task is innocent
                _take_back(running, starts)
                continue
            except (BrokenExecutor, TimeoutError):
                stop_pool(pool)
                # the tasks behind it lost their workers too: they start again, whole
                _take_back(running, starts)
                starts.popleft()
                results = _one_by_one(call, items[start : start + size])
            yield start, results
    finally:  # something failed, or the caller stopped early
        if not all(future.cancel() or future.done() for _, _, future in running):
            stop_workers()  # or they write on into folders that are being cleared away


def _take_back(running: deque[tuple[int, ProcessPoolExecutor, Future]], starts: deque[int]) -> None:
    """Cancel the tasks under way, and put them before those that have not begun."""
    for _, _, future in running:
        future.cancel()
    starts.extendleft(reversed([start for start, _, _ in running]))
    running.clear()


def _submit(call: _Call, items: Sequence[Any], *, workers: int) -> tuple[ProcessPoolExecutor, Future]:
    """Hand a task to the shared workers; return it with the pool that has it, which may be another one soon."""
    from loky.process_executor import ShutdownExecutorError

    while not call.ended:
        pool = shared_pool(workers)
        try:
            return pool, call.submit(pool, items)
        except (BrokenExecutor, ShutdownExecutorError):  # a worker died idle, or another thread stopped them
            stop_pool(pool)
    raise _EndedError


def _one_by_one(call: _Call, items: Sequence[Any]) -> list[Any | WorkerLostError]:
    """Results of the items of one task from a worker that nobody else uses: only its item can take it down."""
    cell: ProcessPoolExecutor | None = None
    results: list[Any | WorkerLostError] = []
    try:
        for item in items:
            for _ in range(2):
                cell = cell or new_pool(1)
                result = _alone(cell, call, item)
                if not isinstance(result, WorkerLostError):
                    break
                cell.shutdown(wait=True, kill_workers=True)
                cell = None
            results.append(result)
    finally:
        if cell is not None:
            cell.shutdown(wait=True, kill_workers=True)
    return results


def _alone(cell: ProcessPoolExecutor, call: _Call, item: Any) -> Any | WorkerLostError:
    """Result of one item, or what became of the worker."""
    try:
        # starting and importing take time that is not the item's fault
        call.result(cell.submit(_ready, [call.func]), TASK_SECONDS)
        return call.result(call.submit(cell, [item]), call.seconds)[0]
    except BrokenExecutor:
        return WorkerLostError("decode_crash", "the worker process died on this picture, twice")
    except TimeoutError:
        return WorkerLostError("decode_timeout", f"no result within {call.seconds:g} s, twice")


def _ready(items: Sequence[Any]) -> list:
    return list(items)
