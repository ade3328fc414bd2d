"""Run the service in uvicorn: when it is told to stop, every waiting request still gets an answer."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

LAST_SECONDS = 2  # for what still computes when every request has its answer


def run(app: FastAPI, *, host: str, port: int, seconds: int) -> None:
    """Serve until a signal arrives, and end within `seconds` after it.

    Parameters
    ----------
    app
        From :func:`facestats.surfaces.service.api.create_app`.
    host, port
        Where to listen.
    seconds
        Requests that are not done shortly before the end are answered with 503; then connections are closed.
    """
    grace = seconds - LAST_SECONDS

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.batcher.shut_down_in(grace - 1)
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",  # limits the size of headers, which httptools does not
        timeout_graceful_shutdown=grace,
        server_header=False,
    )
    server = Server(config)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:  # uvicorn has logged why
        sys.exit(1)
