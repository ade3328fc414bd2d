"""An end to how long a client may take to send its request, and to how much all of them may send at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import HTTPException

from facestats.surfaces.service.error_responses import RETRY_SECONDS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_SECONDS = 30.0
ROOM_BYTES = 400_000_000


class BodyDeadline:
    """ASGI middleware: a body that is not there after `seconds` is answered with 408.

    Parameters
    ----------
    app
        What answers the request.
    seconds
        Time for a whole body, from the end of its headers on.
    """

    def __init__(self, app: ASGIApp, seconds: float = BODY_SECONDS) -> None:
        self.app, self.seconds = app, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a clock beside its body."""
        end = asyncio.get_running_loop().time() + self.seconds
        whole = scope["type"] != "http"

        async def timed() -> Message:
            nonlocal whole
            if whole:  # what comes now is the end of the connection, however long that takes
                return await receive()
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                msg = f"the request was not complete after {self.seconds:g} seconds"
                raise HTTPException(408, msg, headers={"Connection": "close"}) from None
            whole = not message.get("more_body", False)
            return message

        await self.app(scope, timed, send)


class BodyRoom:
    """ASGI middleware: bodies beyond what there is room for are answered with 503.

    Parameters
    ----------
    app
        What answers the request.
    most
        Bytes of all bodies that have arrived and are not answered yet; what has not arrived does not count, so that
        nobody takes room by announcing much and sending little.
    """

    def __init__(self, app: ASGIApp, most: int = ROOM_BYTES) -> None:
        self.app, self.most, self.held = app, most, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count its bytes until it is answered."""
        mine = 0

        async def counted() -> Message:
            nonlocal mine
            message = await receive()
            arrived = len(message.get("body", b""))
            if self.held + arrived > self.most:
                msg = "too many uploads are under way; try again in a moment"
                raise HTTPException(503, msg, headers={"Retry-After": RETRY_SECONDS, "Connection": "close"})
            self.held += arrived
            mine += arrived
            return message

        try:
            await self.app(scope, counted, send)
        finally:
            self.held -= mine
