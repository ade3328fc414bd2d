"""Limits on how long a client may take to send its request, and on how much all clients may send at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import HTTPException

from facestats.surfaces.service.error_responses import RETRY_SECONDS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_SECONDS = 30.0  # for one body
MAX_TOTAL_BYTES = 400_000_000  # in all bodies together


class BodyDeadline:
    """ASGI middleware: a request whose body has not arrived after `seconds` is answered with 408.

    Parameters
    ----------
    app
        Answers the request.
    seconds
        Time for the whole body, counted from the end of its headers.
    """

    def __init__(self, app: ASGIApp, seconds: float = BODY_SECONDS) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and stop waiting for its body in time."""
        end = asyncio.get_running_loop().time() + self.seconds
        complete = scope["type"] != "http"

        async def timed() -> Message:
            nonlocal complete
            if complete:  # the next message is the end of the connection, which may take any time
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                msg = f"the request was not complete after {self.seconds:g} seconds"
                raise HTTPException(408, msg, headers={"Connection": "close"}) from None
            complete = not message.get("more_body", False)
            return message

        await self.app(scope, timed, send)


class TotalBodyLimit:
    """ASGI middleware: while the bodies of all requests exceed `max_bytes`, new ones are answered with 503.

    Parameters
    ----------
    app
        Answers the request.
    max_bytes
        Limit for the bytes that have arrived and are not answered yet. Bytes that are only announced do not count:
        otherwise a client could block the others by announcing much and sending little.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_TOTAL_BYTES) -> None:
        self.app, self.max_bytes, self.held = app, max_bytes, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count its bytes until it is answered."""
        mine = 0

        async def counted() -> Message:
            nonlocal mine
            message = await receive()
            arrived = len(message.get("body", b""))
            if self.held + arrived > self.max_bytes:
                msg = "too many uploads are under way; try again in a moment"
                raise HTTPException(503, msg, headers={"Retry-After": RETRY_SECONDS, "Connection": "close"})
            self.held += arrived
            mine += arrived
            return message

        try:
            await self.app(scope, counted, send)
        finally:
            self.held -= mine
