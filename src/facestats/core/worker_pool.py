"""The worker processes of this program: shared by all threads, kept for the next call, replaced when one dies.

They are started afresh, never forked: Mediapipe hangs after a fork.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import threading
import time
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loky import ProcessPoolExecutor

_IDLE_SECONDS = 300  # workers that wait longer go home

# one pool for all threads: that of loky's get_reusable_executor belongs to the thread that asked for it
_pool: tuple[int, ProcessPoolExecutor] | None = None
_pool_lock = threading.Lock()
_ended = False


def max_tasks(workers: int) -> int:
    """Tasks that may be under way: some wait, so that no worker does; in a larger pool only as many as asked for."""
    return workers if _pool is not None and _pool[0] > workers else 2 * workers + 1


def shared_pool(workers: int) -> ProcessPoolExecutor:
    """Return the processes for all threads of this program; who needs more of them than there are, gets a new pool."""
    global _pool  # noqa: PLW0603
    with _pool_lock:
        if _pool is None or _pool[0] < workers:
            if _pool is not None:
                _pool[1].shutdown(wait=False)  # what it has still to do is done
            _pool = (workers, new_pool(workers))
            _stop_at_exit()
        return _pool[1]


def new_pool(workers: int) -> ProcessPoolExecutor:
    """Start processes that end with this one."""
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
        stop_pool(pool[1])


def stop_pool(pool: ProcessPoolExecutor) -> None:
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
