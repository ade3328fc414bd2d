"""Collect requests that arrive together into batches for one model, with a limit on how many may wait."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

log = logging.getLogger(__name__)

SECONDS = 60.0  # longest wait for an answer
STOPPING = "the service is stopping"
STOP_SECONDS = 2.0  # time for running calls whose clients have left
LINGER = 0.01  # seconds: clients that were answered together ask again at nearly the same time

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V")


class BusyError(RuntimeError):
    """Too many inputs wait already, or the service is stopping; try again later."""


class Batcher(Generic[T, R]):
    """Call ``work(inputs)`` with all inputs that have arrived since the last call, up to `batch_size`.

    Parameters
    ----------
    work
        Turns inputs into as many results, in the same order.
    batch_size
        Number of inputs per call, at most.
    max_waiting
        Number of inputs that may wait; further ones are refused.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R]],
        *,
        batch_size: int = 16,
        max_waiting: int = 128,
    ) -> None:
        self._work, self._batch_size = work, batch_size
        self._queue: asyncio.Queue[tuple[T, asyncio.Future[R]]] = asyncio.Queue(max_waiting)
        self._threads = ThreadPoolExecutor(thread_name_prefix="facestats-model")
        self._workers: list[asyncio.Task[None]] = []
        self._calls: set[Future[Any]] = set()
        self._unanswered: set[asyncio.Future[R]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False

    @property
    def waiting(self) -> int:
        """Number of inputs that wait now."""
        return self._queue.qsize()

    @property
    def busy(self) -> bool:
        """Whether a call is under way in a thread; nothing can end such a call early."""
        return bool(self._calls)

    async def call(self, work: Callable[[], V]) -> V:
        """Run another function in a thread of this pool."""
        call = self._threads.submit(work)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.wrap_future(call)

    def start(self) -> None:
        """Begin to work; needs a running event loop."""
        self.add_worker()

    def add_worker(self) -> None:
        """Allow one more call at a time: one call computes while another prepares its inputs or merges its results."""
        self._loop = asyncio.get_running_loop()
        self._workers.append(self._loop.create_task(self._run()))

    def shut_down_in(self, seconds: float) -> None:
        """Refuse new inputs now, and unanswered ones after `seconds`; a signal handler may call this."""
        self._stopping = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self._refuse_unanswered)

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Refuse new inputs, spend up to `seconds` on those that wait, and then refuse the rest."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._queue.join()
                while self.busy:
                    await asyncio.sleep(0.02)
        for worker in self._workers:
            worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await worker
        self._refuse_unanswered()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def submit(self, inputs: Sequence[T]) -> list[R]:
        """Wait for the results of some inputs; either all of them are accepted or none.

        Raises
        ------
        BusyError
            If too many inputs wait already, or the service is stopping.
        """
        if self._stopping or self._queue.maxsize - self._queue.qsize() < len(inputs):
            msg = STOPPING if self._stopping else f"{self.waiting} inputs are waiting already"
            raise BusyError(msg)
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[R]] = [loop.create_future() for _ in inputs]
        for item, future in zip(inputs, futures, strict=True):
            self._unanswered.add(future)
            future.add_done_callback(self._unanswered.discard)
            self._queue.put_nowait((item, future))
        return list(await asyncio.gather(*futures))

    def _refuse_unanswered(self) -> None:
        _set_error(list(self._unanswered), BusyError(STOPPING))

    async def _next_batch(self, *, linger: bool) -> list[tuple[T, asyncio.Future[R]]]:
        """Wait for an input, then for others that arrive at nearly the same time."""
        batch = [await self._queue.get()]
        if linger and self._queue.qsize() < self._batch_size - 1:
            await asyncio.sleep(LINGER)
        while len(batch) < self._batch_size and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    async def _run(self) -> None:
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while True:
            batch = await self._next_batch(linger=len(batch) > 1)
            wanted = [(item, future) for item, future in batch if not future.done()]  # clients may have left
            futures = [future for _, future in wanted]
            try:
                results = await self.call(partial(self._work, [item for item, _ in wanted]))
                for future, result in zip(futures, results, strict=True):
                    if not future.done():
                        future.set_result(result)
            except asyncio.CancelledError:  # the service stops; the batch did not fail
                raise
            except Exception as error:  # noqa: BLE001 - every input of the batch gets it, and the next batch is served
                _set_error(futures, error)
            except BaseException as error:  # a panic of Polars is not an Exception
                log.exception("a batch ended in a panic")
                _set_error(futures, RuntimeError(f"the models failed ({type(error).__name__})"))
            finally:
                for _ in batch:
                    self._queue.task_done()


def _set_error(futures: Sequence[asyncio.Future[R]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
