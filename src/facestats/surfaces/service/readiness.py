"""Whether the service can answer: the models are loaded and tried before the first request waits for them."""

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
    from facestats.surfaces.service.batching import Gatherer

log = logging.getLogger(__name__)

AGAIN_SECONDS = 30.0


class Readiness:
    """Tries the models until they are well; `problem` says what is wrong meanwhile, None that nothing is.

    Parameters
    ----------
    pipeline
        Has the models.
    gatherer
        Is started once they have been tried, and widened once they are well.
    """

    def __init__(self, pipeline: CharacterPipeline, gatherer: Gatherer[Any, Any]) -> None:
        self._pipeline, self._gatherer = pipeline, gatherer
        self.problem: str | None = "the models are being loaded"

    async def run(self) -> None:
        """Try until it works; a model may be put in its place meanwhile, another program may free the memory."""
        self.problem = await self._gatherer.call(partial(try_models, self._pipeline))
        self._gatherer.start()  # not before the models were tried: two threads must not load them at once
        while self.problem is not None:
            await asyncio.sleep(AGAIN_SECONDS)
            self.problem = await self._gatherer.call(partial(try_models, self._pipeline))
        self._gatherer.add_worker()

    def end(self) -> None:
        """Say that the service stops."""
        self.problem = "the service is stopping"


def try_models(pipeline: CharacterPipeline) -> str | None:
    """Label a grey picture with some texts, past the cache; say what is wrong, None where nothing is."""
    grey = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(grey, "PNG")
    try:
        pipeline.labeller.recipe()
        answers = pipeline.labeller.label([(grey.getvalue(), f"person {i}") for i in range(4)])
    except BaseException as error:  # whatever it is, /ready and the log say it
        trace = not isinstance(error, ModelError)
        log.error("the service is not ready: %s: %s", type(error).__name__, error, exc_info=trace)
        return explain(error)
    for answer in answers:
        if answer["status"] not in ANSWERS:
            log.error("the service is not ready, a test picture fails: %s", answer["error"])
            return f"a test picture cannot be labelled ({answer['status']}): {answer['error']}"
    return None
