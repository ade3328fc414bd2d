"""The life of the service in uvicorn: whoever waits when it is told to stop gets an answer first."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from types import FrameType

    from fastapi import FastAPI

LAST_SECONDS = 2  # for what is under way when everybody has an answer


def run(app: FastAPI, *, host: str, port: int, seconds: int) -> None:
    """Serve until a signal comes, and end within `seconds` from there.

    Parameters
    ----------
    app
        From :func:`facestats.surfaces.service.api.create_app`.
    host, port
        Where to listen.
    seconds
        A second before the last ones, what is not done yet is answered with 503; then connections are cut.
    """
    patience = seconds - LAST_SECONDS

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            app.state.gatherer.shut_down_in(patience - 1)
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http="h11",  # bounds the headers, which httptools does not
        timeout_graceful_shutdown=patience,
        server_header=False,
    )
    server = Server(config)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:  # the log says why
        sys.exit(1)
