"""What the server of the page refuses before gradio sees it: addresses to download, large requests, unused routes."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_UPLOAD = 20_000_000  # bytes in a request with a picture
MAX_JSON = 1_000_000  # bytes in any other request
SECONDS = 60.0  # in which a request must have arrived
UPLOAD = "/gradio_api/upload"
# routes that the page uses; others of gradio download addresses, run ffmpeg, or call functions without the queue
_ALLOWED = re.compile(
    r"/(?!gradio_api|monitoring)"
    r"|/gradio_api/(queue/(join|data)|upload|heartbeat/|startup-events|login_check|info|theme\.css|cancel|reset)"
    r"|/gradio_api/file=(?!\s*[\w+.-]{2,}:)"
)
# two letters or more before the colon: a drive of Windows has one
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)


class Guard:
    """ASGI middleware: refuse requests that the page never makes.

    A body is read completely before it is passed on: gradio would otherwise keep interrupted uploads.

    Parameters
    ----------
    app
        The application to protect.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] == "http" and not _ALLOWED.match(scope["path"]):
            await _refuse(404, "there is no such address here")(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] == "POST":
            await self._post(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        limit = MAX_UPLOAD if path == UPLOAD else MAX_JSON
        try:
            async with asyncio.timeout(SECONDS):
                body = await _read(scope, receive, limit)
            if path.endswith("/queue/join"):
                _check(body)
        except ClientDisconnect:
            return
        except TimeoutError:
            await _refuse(408, f"the request was not complete after {SECONDS:g} seconds")(
                scope, receive, send
            )
        except _RefusedError as error:
            await _refuse(error.code, str(error))(scope, receive, send)
        else:
            await self.app(scope, _replay(body, receive), send)


class _RefusedError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read a whole body; stop at the limit if it is too long."""
    announced = Headers(scope=scope).get("content-length", "")
    body = bytearray()
    if not announced.isdigit() or int(announced) <= limit:
        async for chunk in Request(scope, receive).stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise _RefusedError(413, f"a request may have at most {limit:,} bytes here; make the file smaller")


def _check(body: bytes) -> None:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(400, "the request is not valid JSON") from error
    if _names_address(asked):
        raise _RefusedError(422, "give a file, not an address")


def _names_address(value: Any) -> bool:
    """Whether the value holds a file that would have to be downloaded from an address."""
    waiting = [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if isinstance(path := found.get("path"), str) and _ADDRESS.match(path):
                return True
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found
    return False


def _replay(body: bytes, receive: Receive) -> Receive:
    """Pass on the body that was read, and then the messages that follow it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again


def _refuse(code: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=code)
