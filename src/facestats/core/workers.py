"""Run work that may crash or hang in worker processes: decoding untrusted bytes, landmark models.

The items are sent in small tasks. If the worker of a task dies or hangs, the items of this task run again one by one,
in a process that no other thread uses. An item that takes down this process twice is given up, and its result says
so.

Each call uses the pool from a thread of its own. Ctrl-C and SIGTERM raise in the main thread between any two
instructions, also while a library holds a lock. The lock then stays locked, and the pool could not even be shut down.
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
_POLL_SECONDS = 0.1  # how often a waiting call checks whether the program is ending


class WorkerLostError(RuntimeError):
    """A worker process died (`status` decode_crash) or hung (`status` decode_timeout) on one item."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


def cpu_count() -> int:
    """Return the number of cores that this process may use."""
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
    """Call ``func(items[a:b], **shared)`` in worker processes, for tasks of `task_size` items.

    Parameters
    ----------
    func
        Importable function from a list of items to a list of as many results.
    items
        The items to work on; they must pickle.
    workers
        Number of processes, 0 for one per core.
    task_size
        Items per task.
    seconds
        Time in seconds after which a task counts as hung.
    shared
        Further arguments, the same for all tasks.

    Yields
    ------
    ``(a, results)`` per task, in the order of `items`. The result of an item that took down its worker twice is a
    :class:`WorkerLostError`. Only a few tasks are submitted at once, so memory stays bounded; none is left when the
    iterator is closed.
    """
    call = _Call(func, seconds, shared)
    tasks = _run_tasks(call, items, workers=workers or cpu_count(), size=task_size)
    requests: SimpleQueue[str | None] = SimpleQueue()
    answers: SimpleQueue[tuple[int, list] | BaseException | None] = SimpleQueue()
    running = allocate_lock()
    running.acquire()
    # neither a Thread nor an executor, because both have locks that the main thread takes
    start_new_thread(_serve, (tasks, requests, answers, running))
    try:
        while True:
            requests.put("next")
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            if answer is None:
                return
            yield answer
    except (KeyboardInterrupt, SystemExit):
        call.cancelled = True
        raise
    finally:
        requests.put(None)
        running.acquire()


class _CancelledError(Exception):
    """The program is ending and needs no more results."""


@dataclass
class _Call:
    """The function of one call with its arguments, and whether the call was cancelled."""

    func: Callable[..., list]
    seconds: float
    shared: dict[str, Any]
    cancelled: bool = False

    def submit(self, pool: ProcessPoolExecutor, items: Sequence[Any]) -> Future:
        """Submit a task to a pool."""
        return pool.submit(self.func, list(items), **self.shared)

    def result(self, future: Future, seconds: float) -> list:
        """Wait for the results of a task."""
        end = time.monotonic() + seconds
        while not wait([future], timeout=_POLL_SECONDS).done:
            if self.cancelled:
                raise _CancelledError
            if time.monotonic() > end:
                msg = f"no answer within {seconds:g} s"
                raise TimeoutError(msg)
        return future.result()


def _serve(
    tasks: _Tasks,
    requests: SimpleQueue[str | None],
    answers: SimpleQueue[tuple[int, list] | BaseException | None],
    running: LockType,
) -> None:
    """In the thread of a call: answer each request with the next results, and with None after the last."""
    try:
        while requests.get():
            answers.put(next(tasks, None))
    except _CancelledError:
        pass
    except BaseException as error:  # noqa: BLE001 - the caller's thread raises it
        answers.put(error)
    finally:
        tasks.close()
        running.release()


def _run_tasks(call: _Call, items: Sequence[Any], *, workers: int, size: int) -> _Tasks:
    from loky.process_executor import ShutdownExecutorError

    starts = deque(range(0, len(items), size))
    submitted: deque[tuple[int, ProcessPoolExecutor, Future]] = deque()
    try:
        while starts or submitted:
            while starts and len(submitted) < max_tasks(workers):
                start = starts.popleft()
                submitted.append((start, *_submit(call, items[start : start + size], workers=workers)))
            start, pool, future = submitted[0]
            try:
                results = call.result(future, call.seconds)
                submitted.popleft()
            except ShutdownExecutorError:  # another thread stopped the workers: this task is not the cause
                _requeue(submitted, starts)
                continue
            except (BrokenExecutor, TimeoutError):
                stop_pool(pool)
                # the tasks after it lost their workers as well: submit them again, whole
                _requeue(submitted, starts)
                starts.popleft()
                results = _run_one_by_one(call, items[start : start + size])
            yield start, results
    finally:  # after an error, or when the caller stopped early
        if not all(future.cancel() or future.done() for _, _, future in submitted):
            stop_workers()  # else they could write on into a folder that is being deleted


def _requeue(submitted: deque[tuple[int, ProcessPoolExecutor, Future]], starts: deque[int]) -> None:
    """Cancel the submitted tasks and put them before those that are not yet submitted."""
    for _, _, future in submitted:
        future.cancel()
    starts.extendleft(reversed([start for start, _, _ in submitted]))
    submitted.clear()


def _submit(call: _Call, items: Sequence[Any], *, workers: int) -> tuple[ProcessPoolExecutor, Future]:
    """Submit a task to the shared workers; return the pool that took it, because another may soon replace that pool."""
    from loky.process_executor import ShutdownExecutorError

    while not call.cancelled:
        pool = shared_pool(workers)
        try:
            return pool, call.submit(pool, items)
        except (BrokenExecutor, ShutdownExecutorError):  # an idle worker died, or another thread stopped them
            stop_pool(pool)
    raise _CancelledError


def _run_one_by_one(call: _Call, items: Sequence[Any]) -> list[Any | WorkerLostError]:
    """Run the items of one task in a process that no other thread uses, so that only they can take it down."""
    own_pool: ProcessPoolExecutor | None = None
    results: list[Any | WorkerLostError] = []
    try:
        for item in items:
            for _ in range(2):
                own_pool = own_pool or new_pool(1)
                result = _run_item(own_pool, call, item)
                if not isinstance(result, WorkerLostError):
                    break
                own_pool.shutdown(wait=True, kill_workers=True)
                own_pool = None
            results.append(result)
    finally:
        if own_pool is not None:
            own_pool.shutdown(wait=True, kill_workers=True)
    return results


def _run_item(own_pool: ProcessPoolExecutor, call: _Call, item: Any) -> Any | WorkerLostError:
    """Return the result of one item, or an error that says how its worker was lost."""
    try:
        # a task that does nothing: starting and importing do not count for the time of the item
        call.result(own_pool.submit(_warm_up, [call.func]), TASK_SECONDS)
        return call.result(call.submit(own_pool, [item]), call.seconds)[0]
    except BrokenExecutor:
        return WorkerLostError("decode_crash", "the worker process died on this picture, twice")
    except TimeoutError:
        return WorkerLostError("decode_timeout", f"no result within {call.seconds:g} s, twice")


def _warm_up(items: Sequence[Any]) -> list:
    return list(items)
