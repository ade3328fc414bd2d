"""The worker processes of this program: shared by all threads, kept for the next call, replaced when one dies.

They are spawned, not forked, because a fork copies locks of torch and OpenCV, but not the threads that release them.
"""

from __future__ import annotations

import atexit
import functools
import logging
import os
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

_IDLE_SECONDS = 300  # a worker that is idle for longer ends

# number of workers, and the pool; not from get_reusable_executor of loky, which keeps one pool per thread
_pool: tuple[int, ProcessPoolExecutor] | None = None
_pool_lock = threading.Lock()
_ended = False


def max_tasks(workers: int) -> int:
    """Return how many tasks to submit at once.

    This is one more than twice the workers, so that none idles; in a larger shared pool, no more than `workers`.
    """
    return workers if _pool is not None and _pool[0] > workers else 2 * workers + 1


def shared_pool(workers: int) -> ProcessPoolExecutor:
    """Return the pool of all threads of this program; if it has fewer than `workers` processes, a larger one replaces it."""
    global _pool  # noqa: PLW0603
    with _pool_lock:
        if _pool is None or _pool[0] < workers:
            if _pool is not None:
                _pool[1].shutdown(wait=False)  # it still completes the tasks that were submitted to it
            _pool = (workers, new_pool(workers))
            _stop_at_exit()
        return _pool[1]


def new_pool(workers: int) -> ProcessPoolExecutor:
    """Create a pool whose processes end when this process ends."""
    from loky import ProcessPoolExecutor

    if _ended:
        msg = "no workers can be started while the program ends"
        raise RuntimeError(msg)
    # loky warns when it replaces a worker whose memory grew; with large pictures this is normal
    warnings.filterwarnings("ignore", message="A worker .* while some jobs", category=UserWarning)
    return ProcessPoolExecutor(
        workers, timeout=_IDLE_SECONDS, initializer=_prepare_worker, initargs=(os.getpid(),)
    )


def _prepare_worker(parent: int) -> None:
    """In a worker: ignore Ctrl-C, which the main process handles, and end when the main process has ended.

    Only Python still writes to the terminal: libtiff, libjpeg and Pillow tell there of damaged pictures, without their names.
    """
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):  # a program without a terminal may have closed it
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    if os.name != "nt":  # on Windows getppid keeps the number of a parent that has ended
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.25)
    os._exit(1)


@functools.cache
def _stop_at_exit() -> None:
    atexit.register(end_workers)


def end_workers() -> None:
    """Stop the shared processes at the end of the program, and refuse to start others."""
    global _ended  # noqa: PLW0603
    _ended = True
    stop_workers()


def stop_workers() -> None:
    """Stop the shared processes now, even in the middle of a task; the next task starts new ones."""
    if (pool := _pool) is not None:
        stop_pool(pool[1])


def stop_pool(pool: ProcessPoolExecutor) -> None:
    """Kill the processes of `pool`, but not those of a pool that has replaced it."""
    global _pool  # noqa: PLW0603
    with _pool_lock:
        current = _pool is not None and _pool[1] is pool
        if current:
            _pool = None
    if current:
        pool.shutdown(wait=True, kill_workers=True)
    else:  # another thread stopped it, or a larger pool replaced it while one of its tasks hangs
        for process in list(pool._processes.values()):
            process.terminate()
