"""Requests without an answer get a status code and a sentence that tells nothing about the server's files."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from facestats.core.protocols import ModelError
from facestats.surfaces.service.batching import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI, Request

log = logging.getLogger(__name__)

RETRY_SECONDS = "1"


def problem(code: int, detail: str, status: str | None = None) -> JSONResponse:
    """Make the response to a request that has no answer; `status` is the status word of the tables, if there is one."""
    headers = {"Retry-After": RETRY_SECONDS} if code == 503 else None
    return JSONResponse({"detail": detail, "status": status}, status_code=code, headers=headers)


def explain(error: BaseException) -> str:
    """Say what is wrong with the server without naming its folders; the text of the error belongs in the log."""
    if isinstance(error, ModelError):
        return "a model cannot be loaded; run facestats doctor on the server to see which"
    if isinstance(error, MemoryError):
        return "the server has no memory left; its log has the details; try again later"
    if isinstance(error, OSError):
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        return f"the server cannot read or write a file ({why}); its log has the details; try again later"
    return f"the server failed ({type(error).__name__}); its log has the details"


def add_handlers(app: FastAPI, seconds: float, find_problem: Callable[[], str | None]) -> None:
    """Turn exceptions into responses.

    `seconds` is how long a request may wait for its answer; `find_problem` says why the service is not ready, if so.
    """

    @app.exception_handler(RequestValidationError)
    async def unreadable(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem(
            422, "; ".join(f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors())
        )

    @app.exception_handler(BusyError)
    async def busy(_: Request, error: BusyError) -> JSONResponse:
        return problem(503, f"{error}; try again in a moment")

    @app.exception_handler(TimeoutError)
    async def late(_: Request, __: TimeoutError) -> JSONResponse:
        why = find_problem()
        advice = "send fewer inputs at a time, or try again later"
        if why is not None:
            advice = f"{why}. Send the request again when GET /ready answers 200"
        return problem(503, f"no answer within {seconds:g} seconds: {advice}")

    @app.exception_handler(ModelError)
    @app.exception_handler(OSError)
    @app.exception_handler(MemoryError)
    async def fault(_: Request, error: Exception) -> JSONResponse:
        log.error("%s: %s", type(error).__name__, error)
        return problem(503, explain(error))
