"""The HTTP service: one model in memory, requests gathered into batches, limits on everything that comes in."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.responses import PlainTextResponse
from fastapi.security import APIKeyHeader
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import facestats as fs
from facestats.surfaces.pipeline.pipeline import Item
from facestats.surfaces.service.batching import SECONDS, Gatherer
from facestats.surfaces.service.body_limits import BODY_SECONDS, ROOM_BYTES, BodyDeadline, BodyRoom
from facestats.surfaces.service.error_responses import add_handlers, problem
from facestats.surfaces.service.metrics import Metrics
from facestats.surfaces.service.readiness import Readiness
from facestats.surfaces.service.schemas import (
    ANSWERS,
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from facestats.surfaces.pipeline.answers import CharacterResult
    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

WRONG_KIND = frozenset({"unsupported_format", "not_image"})
_KEY = APIKeyHeader(name="X-API-Key", auto_error=False)
_SHOWN_NAME = 200  # characters


def create_app(
    pipeline: CharacterPipeline,
    *,
    api_key: str | None = None,
    batch_size: int = 16,
    room: int = 128,
    seconds: float = SECONDS,
    body_seconds: float = BODY_SECONDS,
    body_room: int = ROOM_BYTES,
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
    seconds
        Longest wait for an answer; then comes 503. A batch must be done by then.
    body_seconds
        Time for the body of a request; a slower one is answered with 408.
    body_room
        Bytes of all bodies under way; more are answered with 503 and Retry-After.

    Returns
    -------
    The application, for uvicorn or any ASGI server; ``state.gatherer`` knows whether it is still busy.
    """
    gatherer: Gatherer[Item, CharacterResult] = Gatherer(
        pipeline.process_batch, batch_size=batch_size, room=room
    )
    readiness = Readiness(pipeline, gatherer)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        trying = asyncio.create_task(readiness.run())
        yield
        readiness.end()
        trying.cancel()
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
    app.state.gatherer = gatherer
    metrics = Metrics(gatherer, pipeline)
    app.add_middleware(BodyDeadline, seconds=body_seconds)  # innermost: its 408 is not wrapped by another
    app.add_middleware(BodyRoom, most=body_room)
    metrics.count(app)
    add_handlers(app, seconds)
    _add_extract(app, gatherer, api_key, seconds)
    _add_looks(app, pipeline, metrics, readiness)
    return app


def _add_extract(
    app: FastAPI, gatherer: Gatherer[Item, CharacterResult], api_key: str | None, seconds: float
) -> None:
    async def allowed(key: Annotated[str | None, Depends(_KEY)]) -> None:
        if not secrets.compare_digest((key or "").encode(), (api_key or "").encode()):
            raise HTTPException(401, "give the key of this service in the header X-API-Key")

    async def label(items: list[Item]) -> list[CharacterResult]:
        async with asyncio.timeout(seconds):
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


def _add_looks(app: FastAPI, pipeline: CharacterPipeline, metrics: Metrics, readiness: Readiness) -> None:
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
        """Tell whether the models are loaded and well; else what is wrong with them."""
        return {"status": "ready"} if readiness.problem is None else problem(503, readiness.problem)

    @app.get("/metrics", response_class=PlainTextResponse)
    def tell() -> Response:  # in a thread: what is counted in the cache may have to be waited for
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
