"""Gather requests that arrive together into batches for one model, with an end to how many may wait."""

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

SECONDS = 60.0  # that an answer may take
STOPPING = "the service is stopping"
STOP_SECONDS = 2.0  # for what is under way when nobody waits for it any more
LINGER = 0.01  # seconds: who was answered together asks again at nearly the same time

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V")


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
        self._calls: set[Future[Any]] = set()
        self._promised: set[asyncio.Future[R]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = False

    @property
    def waiting(self) -> int:
        """Inputs that wait now."""
        return self._queue.qsize()

    @property
    def busy(self) -> bool:
        """Whether a call is under way in a thread, which nothing can end."""
        return bool(self._calls)

    async def call(self, work: Callable[[], V]) -> V:
        """Do something else in a thread beside the calls of `work`."""
        call = self._threads.submit(work)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        return await asyncio.wrap_future(call)

    def start(self) -> None:
        """Begin to work; needs a running event loop."""
        self.add_worker()

    def add_worker(self) -> None:
        """Let one more call be under way at a time: it computes while another prepares and sums up."""
        self._loop = asyncio.get_running_loop()
        self._tasks.append(self._loop.create_task(self._run()))

    def shut_down_in(self, seconds: float) -> None:
        """Refuse what comes, and in so many seconds what is not done by then; may be called in a signal handler."""
        self._stopping = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self._refuse_all)

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Refuse what comes, and finish what waits, for so many seconds; then refuse that, too."""
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._queue.join()
                while self.busy:
                    await asyncio.sleep(0.02)
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._refuse_all()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def submit(self, inputs: Sequence[T]) -> list[R]:
        """Wait for the results of some inputs; all of them are taken on, or none.

        Raises
        ------
        BusyError
            If there is no room for them, or the service stops.
        """
        if self._stopping or self._queue.maxsize - self._queue.qsize() < len(inputs):
            msg = STOPPING if self._stopping else f"{self.waiting} inputs wait already"
            raise BusyError(msg)
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[R]] = [loop.create_future() for _ in inputs]
        for item, future in zip(inputs, futures, strict=True):
            self._promised.add(future)
            future.add_done_callback(self._promised.discard)
            self._queue.put_nowait((item, future))
        return list(await asyncio.gather(*futures))

    def _refuse_all(self) -> None:
        _refuse(list(self._promised), BusyError(STOPPING))

    async def _next_batch(self, *, linger: bool) -> list[tuple[T, asyncio.Future[R]]]:
        """Wait for an input, then for those that come at nearly the same time."""
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
            wanted = [(item, future) for item, future in batch if not future.done()]  # the others left
            futures = [future for _, future in wanted]
            try:
                results = await self.call(partial(self._work, [item for item, _ in wanted]))
                for future, result in zip(futures, results, strict=True):
                    if not future.done():
                        future.set_result(result)
            except asyncio.CancelledError:  # no failure of the batch
                raise
            except Exception as error:  # noqa: BLE001 - whoever waits gets it, and the next batch is served
                _refuse(futures, error)
            except BaseException as error:  # Polars panics with one that is no Exception
                log.exception("a batch ended in a panic")
                _refuse(futures, RuntimeError(f"the models failed ({type(error).__name__})"))
            finally:
                for _ in batch:
                    self._queue.task_done()


def _refuse(futures: Sequence[asyncio.Future[R]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
