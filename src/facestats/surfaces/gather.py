"""Gather requests that arrive together into batches for one model, with an end to how many may wait."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LINGER = 0.01  # seconds: who was answered together asks again at nearly the same time

T = TypeVar("T")
R = TypeVar("R")


class BusyError(RuntimeError):
    """More requests wait than the service takes on, or it is stopping; try again later."""


class Gatherer(Generic[T, R]):
    """Calls ``work(inputs)`` with all inputs that have arrived meanwhile, up to a number.

    Parameters
    ----------
    work
        From inputs to as many results, in order.
    batch_size
        Inputs per call at most.
    room
        Inputs that may wait; more are refused.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R]],
        *,
        batch_size: int = 16,
        room: int = 128,
    ) -> None:
        self._work, self._batch_size = work, batch_size
        self._queue: asyncio.Queue[tuple[T, asyncio.Future[R]]] = asyncio.Queue(room)
        self._threads = ThreadPoolExecutor(thread_name_prefix="facestats-model")
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def waiting(self) -> int:
        """Inputs that wait now."""
        return self._queue.qsize()

    def start(self) -> None:
        """Begin to work; needs a running event loop."""
        self.widen()

    def widen(self) -> None:
        """Let one more call be under way at a time: it computes while another prepares and sums up."""
        self._tasks.append(asyncio.create_task(self._run()))

    async def stop(self) -> None:
        """Finish what waits, refuse what comes."""
        self._stopping = True
        await self._queue.join()
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._threads.shutdown(wait=True)

    async def submit(self, inputs: Sequence[T]) -> list[R]:
        """Wait for the results of some inputs; all of them are taken on, or none.

        Raises
        ------
        BusyError
            If there is no room for them, or the service stops.
        """
        if self._stopping or self._queue.maxsize - self._queue.qsize() < len(inputs):
            msg = "the service is stopping" if self._stopping else f"{self.waiting} inputs wait already"
            raise BusyError(msg)
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[R]] = [loop.create_future() for _ in inputs]
        for item, future in zip(inputs, futures, strict=True):
            self._queue.put_nowait((item, future))
        return list(await asyncio.gather(*futures))

    async def _next_batch(self, *, linger: bool) -> list[tuple[T, asyncio.Future[R]]]:
        """Wait for an input, then for those that come at nearly the same time."""
        batch = [await self._queue.get()]
        if linger and self._queue.qsize() < self._batch_size - 1:
            await asyncio.sleep(LINGER)
        while len(batch) < self._batch_size and not self._queue.empty():
            batch.append(self._queue.get_nowait())
        return batch

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        batch: list[tuple[T, asyncio.Future[R]]] = []
        while True:
            batch = await self._next_batch(linger=len(batch) > 1)
            wanted = [(item, future) for item, future in batch if not future.done()]  # the others left
            try:
                results = await loop.run_in_executor(self._threads, self._work, [item for item, _ in wanted])
                for (_, future), result in zip(wanted, results, strict=True):
                    if not future.done():
                        future.set_result(result)
            except Exception as error:  # noqa: BLE001 - whoever waits gets it, and the next batch is served
                for _, future in wanted:
                    if not future.done():
                        future.set_exception(error)
            finally:
                for _ in batch:
                    self._queue.task_done()
