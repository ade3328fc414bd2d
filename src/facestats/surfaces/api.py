"""The HTTP service: one model in memory, requests gathered into batches, limits on everything that comes in."""

from __future__ import annotations

import asyncio
import io
import logging
import secrets
import time
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse
from fastapi.security import APIKeyHeader
from PIL import Image
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

import facestats as fs
from facestats.core.protocols import ModelError
from facestats.surfaces.contract import (
    MAX_BODY,
    MAX_INPUTS,
    PROBLEMS,
    Answer,
    Picture,
    Pictures,
    Scores,
    Text,
    Texts,
    one_of,
)
from facestats.surfaces.gather import BusyError, Gatherer
from facestats.surfaces.limits import BODY_SECONDS, BodyDeadline
from facestats.surfaces.pipeline import Item
from facestats.surfaces.problems import add_handlers, problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from facestats.surfaces.pipeline import CharacterPipeline
    from facestats.surfaces.results import CharacterResult

log = logging.getLogger(__name__)

SECONDS = 60.0
WRONG_KIND = frozenset({"unsupported_format", "not_image"})
# a face that was not found is an answer: the whole picture is labelled all the same
ANSWERS = frozenset({"ok", "ok_first_frame", "no_face", "many_faces"})
_KEY = APIKeyHeader(name="X-API-Key", auto_error=False)
_SHOWN_NAME = 200  # characters


class _Metrics:
    """What /metrics tells, in a registry of its own."""

    def __init__(self, gatherer: Gatherer[Any, Any], pipeline: CharacterPipeline) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "facestats_requests", "Requests by path and status code", ["path", "code"], registry=self.registry
        )
        self.seconds = Histogram(
            "facestats_request_seconds", "Seconds per request", ["path"], registry=self.registry
        )
        waiting = Gauge("facestats_waiting", "Inputs that wait", registry=self.registry)
        waiting.set_function(lambda: gatherer.waiting)
        for name in ("processed", "errors", "cache_hits", "cache_misses"):
            gauge = Gauge(
                f"facestats_{name}", f"{name.replace('_', ' ')} since the start", registry=self.registry
            )
            gauge.set_function(partial(_stat, pipeline, name))


def _stat(pipeline: CharacterPipeline, name: str) -> float:
    return float(pipeline.get_stats()[name])


def create_app(
    pipeline: CharacterPipeline,
    *,
    api_key: str | None = None,
    batch_size: int = 16,
    room: int = 128,
    body_seconds: float = BODY_SECONDS,
) -> FastAPI:
    """Make the service.

    Parameters
    ----------
    pipeline
        Labels what comes in.
    api_key
        What ``X-API-Key`` must hold; None lets everybody in.
    batch_size
        Inputs labelled together at most; two such batches are under way at a time.
    room
        Inputs that may wait; more are answered with 503 and Retry-After.
    body_seconds
        Time for the body of a request; a slower one is answered with 408.

    Returns
    -------
    The application, for uvicorn or any ASGI server.
    """
    gatherer: Gatherer[Item, CharacterResult] = Gatherer(
        pipeline.process_batch, batch_size=batch_size, room=room
    )
    state = {"ready": False}

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        gatherer.start()
        warming = asyncio.create_task(_warm_up(gatherer, state))
        yield
        state["ready"] = False
        warming.cancel()
        await gatherer.stop()

    app = FastAPI(
        title="facestats",
        version=fs.__version__,
        summary="Perceived attributes of faces and characters, from pictures and texts.",
        description="Labels are what a model makes of a picture, not what a person is.",
        lifespan=lifespan,
        max_body_size=MAX_BODY,
        form_limits={"max_files": MAX_INPUTS, "max_fields": 2 * MAX_INPUTS},
    )
    metrics = _Metrics(gatherer, pipeline)
    app.add_middleware(BodyDeadline, seconds=body_seconds)  # innermost: its 408 is not wrapped by another
    _add_middleware(app, metrics)
    add_handlers(app, SECONDS)
    _add_extract(app, gatherer, api_key)
    _add_looks(app, pipeline, metrics, state)
    return app


async def _warm_up(gatherer: Gatherer[Item, CharacterResult], state: dict[str, bool]) -> None:
    """Load the models and start the workers before the first request waits for them."""
    grey = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(grey, "PNG")
    try:
        await gatherer.submit([Item("warm-up", grey.getvalue(), f"person {i}") for i in range(4)])
        gatherer.widen()  # not before the models are there: two threads must not load them at once
        state["ready"] = True
    except (ModelError, BusyError) as error:
        log.error("the models cannot be loaded: %s", error)


def _add_middleware(app: FastAPI, metrics: _Metrics) -> None:
    @app.middleware("http")
    async def count(request: Request, call_next: Any) -> Response:
        begun = time.perf_counter()
        response = await call_next(request)
        path = request.scope["route"].path if request.scope.get("route") else "other"
        metrics.requests.labels(path, str(response.status_code)).inc()
        metrics.seconds.labels(path).observe(time.perf_counter() - begun)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def _add_extract(app: FastAPI, gatherer: Gatherer[Item, CharacterResult], api_key: str | None) -> None:
    async def allowed(key: Annotated[str | None, Depends(_KEY)]) -> None:
        if not secrets.compare_digest((key or "").encode(), (api_key or "").encode()):
            raise HTTPException(401, "give the key of this service in the header X-API-Key")

    async def label(items: list[Item]) -> list[CharacterResult]:
        async with asyncio.timeout(SECONDS):
            return await gatherer.submit(items)

    guards = [] if api_key is None else [Depends(allowed)]
    post = partial(app.post, responses=PROBLEMS)

    @post(
        "/extract",
        response_model=Answer,
        openapi_extra=one_of("image", "text"),
        dependencies=[*guards, Depends(_only("image", "text", "scores"))],
    )
    async def extract(image: Picture = None, text: Text = None, scores: Scores = False) -> Any:  # noqa: FBT002
        """Label one picture, one text, or both together."""
        if image is None and text is None:
            return problem(422, "give a picture (image), a text, or both", "empty")
        content = None if image is None else await image.read()
        (result,) = await label([Item(_shown(image), content, text)])
        if result.status not in ANSWERS:
            code = 415 if result.status in WRONG_KIND else 422
            return problem(code, result.error or result.status, result.status)
        return _answer(result, scores=scores)

    @post(
        "/extract/batch",
        response_model=list[Answer],
        openapi_extra=one_of("images", "texts"),
        dependencies=[*guards, Depends(_only("images", "texts", "scores"))],
    )
    async def extract_batch(
        images: Pictures = None,
        texts: Texts = None,
        scores: Scores = False,  # noqa: FBT002
    ) -> Any:
        """Label up to 16 pictures and 16 texts, each by itself; one that fails says so in its answer."""
        if images is None and texts is None:
            return problem(422, f"give up to {MAX_INPUTS} pictures (images), texts, or both", "empty")
        items = [Item(_shown(picture), await picture.read()) for picture in images or []]
        items += [Item(f"text {i}", None, sentence) for i, sentence in enumerate(texts or [], start=1)]
        return [_answer(result, scores=scores) for result in await label(items)]


def _only(*fields: str) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """Make a check that a form holds no field besides these: a slip of the finger is not passed over."""

    async def check(request: Request) -> None:
        unknown = sorted(set(await request.form()) - set(fields))
        if unknown:
            raise HTTPException(
                422, f"there is no field {unknown[0][:_SHOWN_NAME]!r}; the fields are {', '.join(fields)}"
            )

    return check


def _add_looks(app: FastAPI, pipeline: CharacterPipeline, metrics: _Metrics, state: dict[str, bool]) -> None:
    @app.get("/attributes")
    async def attributes() -> dict[str, list[str]]:
        """List the attributes and their options."""
        return {a.title: list(a.options) for a in pipeline.config.attributes.values()}

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Tell that the service lives."""
        return {"status": "alive"}

    @app.get("/ready", responses={503: PROBLEMS[503]})
    async def ready() -> Any:
        """Tell whether the models are loaded."""
        return {"status": "ready"} if state["ready"] else problem(503, "the models are being loaded")

    @app.get("/metrics", response_class=PlainTextResponse)
    async def tell() -> Response:
        """Counts and times for Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _answer(result: CharacterResult, *, scores: bool) -> dict[str, Any]:
    return {**result.to_dict(scores=scores), "status": result.status}


def _shown(image: UploadFile | None) -> str:
    """Name of an upload for display only: no folders, no control characters, not long."""
    if image is None:
        return "text"
    name = (image.filename or "image").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:_SHOWN_NAME] or "image"
