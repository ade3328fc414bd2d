"""The HTTP service: one copy of the models in memory, requests in batches, and limits on everything that comes in."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response, UploadFile
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.security import APIKeyHeader
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

import facestats as fs
from facestats.surfaces.pipeline.items import Item, distinct_ids
from facestats.surfaces.service.batching import SECONDS, Batcher
from facestats.surfaces.service.body_limits import BODY_SECONDS, MAX_TOTAL_BYTES, BodyDeadline, TotalBodyLimit
from facestats.surfaces.service.docs_page import HEADERS, draw_docs
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
    any_of,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from facestats.surfaces.pipeline.answers import CharacterResult
    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

NOTE = "Labels are what a model makes of a picture, not what a person is."
UNSUPPORTED = frozenset({"unsupported_format", "not_image"})  # answered with 415
_KEY = APIKeyHeader(name="X-API-Key", auto_error=False)
_NAME_LENGTH = 200  # characters of a name that are shown, at most


def create_app(
    pipeline: CharacterPipeline,
    *,
    api_key: str | None = None,
    batch_size: int = 16,
    max_waiting: int = 128,
    seconds: float = SECONDS,
    body_seconds: float = BODY_SECONDS,
    max_total_bytes: int = MAX_TOTAL_BYTES,
) -> FastAPI:
    """Make the service.

    Parameters
    ----------
    pipeline
        Labels what comes in.
    api_key
        What the header ``X-API-Key`` must hold; None lets everybody in.
    batch_size
        Number of inputs labelled together, at most; two batches are under way at a time.
    max_waiting
        Number of inputs that may wait; further ones are answered with 503 and Retry-After.
    seconds
        Longest wait for an answer, in seconds; a batch that takes longer is answered with 503.
    body_seconds
        Time for the body of a request, in seconds; a slower request is answered with 408.
    max_total_bytes
        Bytes in the bodies of all requests under way; further requests are answered with 503 and Retry-After.

    Returns
    -------
    The application, for uvicorn or any ASGI server; ``state.batcher.busy`` tells whether a batch is under way.
    """
    batcher: Batcher[Item, CharacterResult] = Batcher(
        pipeline.process_batch, batch_size=batch_size, max_waiting=max_waiting
    )
    readiness = Readiness(pipeline, batcher)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        trial = asyncio.create_task(readiness.run())
        yield
        readiness.end()
        trial.cancel()
        await batcher.stop()

    app = FastAPI(
        title="facestats",
        version=fs.__version__,
        summary="Perceived attributes of faces and characters, from pictures and texts.",
        description=" ".join(filter(None, [NOTE, pipeline.warning])),
        lifespan=lifespan,
        docs_url=None,  # the pages of FastAPI load scripts from other machines
        redoc_url=None,
        max_body_size=MAX_BODY,
        form_limits={"max_files": MAX_INPUTS, "max_fields": 2 * MAX_INPUTS},
    )
    app.state.batcher = batcher
    metrics = Metrics(batcher, pipeline)
    app.add_middleware(BodyDeadline, seconds=body_seconds)  # innermost: no other middleware wraps its 408
    app.add_middleware(TotalBodyLimit, max_bytes=max_total_bytes)
    metrics.count(app)
    add_handlers(app, seconds, lambda: readiness.problem)
    _add_extract(app, batcher, api_key, seconds)
    _add_status_routes(app, pipeline, metrics, readiness)
    return app


def _add_extract(
    app: FastAPI, batcher: Batcher[Item, CharacterResult], api_key: str | None, seconds: float
) -> None:
    async def allowed(key: Annotated[str | None, Depends(_KEY)]) -> None:
        if not secrets.compare_digest((key or "").encode(), (api_key or "").encode()):
            raise HTTPException(
                401, "the key of this service is missing or wrong; send it in the header X-API-Key"
            )

    async def label(items: list[Item]) -> list[CharacterResult]:
        async with asyncio.timeout(seconds):
            return await batcher.submit(items)

    guards = [] if api_key is None else [Depends(allowed)]
    post = partial(app.post, responses=PROBLEMS)

    @post(
        "/extract",
        response_model=Answer,
        openapi_extra=any_of("image", "text"),
        dependencies=[*guards, Depends(_only("image", "text", "scores"))],
    )
    async def extract(image: Picture = None, text: Text = None, scores: Scores = False) -> Any:  # noqa: FBT002
        """Label one picture, one text, or both together."""
        if image is None and text is None:
            return problem(422, "give a picture (image), a text, or both", "empty")
        content = None if image is None else await image.read()
        (result,) = await label([Item(_display_name(image), content, text)])
        if result.status not in ANSWERS:
            code = 415 if result.status in UNSUPPORTED else 422
            return problem(code, result.error or result.status, result.status)
        return _answer(result, scores=scores)

    @post(
        "/extract/batch",
        response_model=list[Answer],
        openapi_extra=any_of("images", "texts"),
        dependencies=[*guards, Depends(_only("images", "texts", "scores"))],
    )
    async def extract_batch(
        images: Pictures = None,
        texts: Texts = None,
        scores: Scores = False,  # noqa: FBT002
    ) -> Any:
        """Label up to 16 pictures and 16 texts, each by itself; if one of them fails, its answer says why."""
        if images is None and texts is None:
            return problem(422, f"give up to {MAX_INPUTS} pictures (images), texts, or both", "empty")
        items = [Item(_display_name(picture), await picture.read()) for picture in images or []]
        items += [Item(f"text {i}", None, sentence) for i, sentence in enumerate(texts or [], start=1)]
        return [_answer(result, scores=scores) for result in await label(distinct_ids(items))]


def _only(*fields: str) -> Callable[[Request], Coroutine[Any, Any, None]]:
    """Make a check that a form holds no other fields, so that a misspelt field is an error."""

    async def check(request: Request) -> None:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in {"", "multipart/form-data", "application/x-www-form-urlencoded"}:
            raise HTTPException(
                415,
                f"send a form (multipart/form-data) with the fields {', '.join(fields)}, not {kind[:_NAME_LENGTH]}",
            )
        unknown = sorted(set(await request.form()) - set(fields))
        if unknown:
            raise HTTPException(
                422, f"there is no field {unknown[0][:_NAME_LENGTH]!r}; the fields are {', '.join(fields)}"
            )

    return check


def _add_status_routes(
    app: FastAPI, pipeline: CharacterPipeline, metrics: Metrics, readiness: Readiness
) -> None:
    @app.get("/attributes")
    async def attributes() -> dict[str, list[str]]:
        """List the attributes and their options."""
        return {a.title: list(a.options) for a in pipeline.config.attributes.values()}

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Tell that the service runs."""
        return {"status": "alive"}

    @app.get("/ready", responses={503: PROBLEMS[503]})
    async def ready() -> Any:
        """Tell whether the models are loaded and work; if not, what is wrong."""
        return {"status": "ready"} if readiness.problem is None else problem(503, readiness.problem)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """Describe the routes for people."""
        return HTMLResponse(draw_docs(app.openapi()), headers=HEADERS)

    @app.get("/metrics", response_class=PlainTextResponse)
    def report() -> Response:  # not async, hence in a thread: counting the cache may have to wait
        """Report counts and times to Prometheus."""
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _answer(result: CharacterResult, *, scores: bool) -> dict[str, Any]:
    return {**result.to_dict(scores=scores), "status": result.status}


def _display_name(image: UploadFile | None) -> str:
    """Name of an upload, for display only: without folders and control characters, and not long."""
    if image is None:
        return "text"
    name = (image.filename or "image").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:_NAME_LENGTH] or "image"
