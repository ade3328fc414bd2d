"""Inputs that arrive together are labelled together, and too many of them are refused."""

from __future__ import annotations

import asyncio
import threading
import time

import polars as pl
import pytest

from facestats.surfaces.service.batching import Batcher, BusyError


class Slow:
    """Waits until the test lets it continue, and records the sizes of its batches."""

    def __init__(self):
        self.sizes = []
        self.go = threading.Event()

    def __call__(self, inputs):
        self.sizes.append(len(inputs))
        self.go.wait(5)
        return [i * 2 for i in inputs]


def test_what_arrives_together_is_worked_on_together_and_too_much_is_refused():
    slow = Slow()

    async def scenario():
        batcher = Batcher(slow, batch_size=4, max_waiting=6)
        batcher.start()
        first = asyncio.create_task(batcher.submit([0]))
        while not slow.sizes:
            await asyncio.sleep(0.01)
        rest = [asyncio.create_task(batcher.submit([i])) for i in range(1, 7)]
        await asyncio.sleep(0.05)
        with pytest.raises(BusyError, match="6 inputs are waiting"):
            await batcher.submit([9])
        slow.go.set()
        results = await asyncio.gather(first, *rest)
        await batcher.stop()
        with pytest.raises(BusyError, match="stopping"):
            await batcher.submit([1])
        return results

    assert asyncio.run(scenario()) == [[2 * i] for i in range(7)]
    assert slow.sizes == [1, 4, 2]


def test_two_batches_may_be_under_way():
    slow = Slow()

    async def scenario():
        batcher = Batcher(slow, batch_size=2)
        batcher.start()
        batcher.add_worker()
        asked = [asyncio.create_task(batcher.submit([i])) for i in range(6)]
        while len(slow.sizes) < 2:
            await asyncio.sleep(0.01)
        assert batcher.waiting == 2
        slow.go.set()
        results = await asyncio.gather(*asked)
        await batcher.stop()
        return results

    assert asyncio.run(scenario()) == [[2 * i] for i in range(6)]


def test_an_error_reaches_its_batch_and_the_next_one_is_served():
    def work(inputs):
        if 13 in inputs:
            msg = "unlucky"
            raise RuntimeError(msg)
        return inputs

    async def scenario():
        batcher = Batcher(work)
        batcher.start()
        with pytest.raises(RuntimeError, match="unlucky"):
            await batcher.submit([13])
        answer = await batcher.submit([1, 2])
        await batcher.stop()
        return answer

    assert asyncio.run(scenario()) == [1, 2]


def test_a_panic_ends_no_lane():
    """A panic of Polars is not an Exception: the waiting requests get an error, and the next batch is served."""

    def work(inputs):
        if 13 in inputs:
            msg = "index out of bounds"
            raise pl.exceptions.PanicException(msg)
        return inputs

    async def scenario():
        batcher = Batcher(work)
        batcher.start()
        async with asyncio.timeout(10):
            with pytest.raises(RuntimeError, match="PanicException"):
                await batcher.submit([13])
            answer = await batcher.submit([1, 2])
            await batcher.stop()
        return answer

    assert asyncio.run(scenario()) == [1, 2]


def test_a_stop_waits_no_longer_than_it_was_told_and_refuses_what_is_left():
    slow = Slow()

    async def scenario():
        batcher = Batcher(slow, batch_size=1)
        batcher.start()
        asked = [asyncio.create_task(batcher.submit([i])) for i in range(3)]
        while not slow.sizes:
            await asyncio.sleep(0.01)
        begun = time.monotonic()
        await batcher.stop(0.2)
        took, busy = time.monotonic() - begun, batcher.busy
        ends = await asyncio.gather(*asked, return_exceptions=True)
        slow.go.set()
        return took, busy, ends

    took, busy, ends = asyncio.run(scenario())
    assert took < 2
    assert busy, "a thread cannot be ended"
    assert [(type(end), str(end)) for end in ends] == [(BusyError, "the service is stopping")] * 3
