"""Whether the service can answer: the models are loaded and tried before the first request needs them."""

from __future__ import annotations

import asyncio
import io
import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from facestats.core.protocols import ModelError
from facestats.surfaces.service.error_responses import explain
from facestats.surfaces.service.schemas import ANSWERS

if TYPE_CHECKING:
    from facestats.surfaces.pipeline.pipeline import CharacterPipeline
    from facestats.surfaces.service.batching import Batcher

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0  # between two tries


class Readiness:
    """Try the models until they work; `problem` is the present fault, or None.

    Parameters
    ----------
    pipeline
        Has the models.
    batcher
        Is started once the models have been tried, and gets a second worker once they work.
    """

    def __init__(self, pipeline: CharacterPipeline, batcher: Batcher[Any, Any]) -> None:
        self._pipeline, self._batcher = pipeline, batcher
        self.problem: str | None = "the models are being loaded"

    async def run(self) -> None:
        """Try until it works: a missing model may be copied meanwhile, or another program may free memory."""
        self.problem = await self._batcher.call(partial(try_models, self._pipeline))
        self._batcher.start()  # only now: two threads must not load the models at once
        while self.problem is not None:
            await asyncio.sleep(RETRY_SECONDS)
            self.problem = await self._batcher.call(partial(try_models, self._pipeline))
        self._batcher.add_worker()

    def end(self) -> None:
        """Report from now on that the service stops."""
        self.problem = "the service is stopping"


def try_models(pipeline: CharacterPipeline) -> str | None:
    """Label a grey picture with some texts, without the cache; return what is wrong, or None."""
    grey = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(grey, "PNG")
    try:
        pipeline.labeller.recipe()
        answers = pipeline.labeller.label([(grey.getvalue(), f"person {i}") for i in range(4)])
    except BaseException as error:  # of any kind: /ready and the log report it
        trace = not isinstance(error, ModelError)
        log.error("the service is not ready: %s: %s", type(error).__name__, error, exc_info=trace)
        return explain(error)
    for answer in answers:
        if answer["status"] not in ANSWERS:
            log.error("the service is not ready: a test picture fails: %s", answer["error"])
            return f"a test picture cannot be labelled ({answer['status']}): {answer['error']}"
    return None
