"""What the page's server refuses before the toolkit sees it: addresses to fetch, floods, what the page does not use."""

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

MAX_UPLOAD = 20_000_000  # bytes of a request with a picture
MAX_JSON = 1_000_000  # bytes of any other
SECONDS = 60.0  # in which a request must have arrived
UPLOAD = "/gradio_api/upload"
# what a browser asks for; the toolkit also fetches addresses, runs ffmpeg, and lets calls pass by the queue
_OPEN = re.compile(
    r"/(?!gradio_api|monitoring)"
    r"|/gradio_api/(queue/(join|data)|upload|heartbeat/|startup-events|login_check|info|theme\.css|cancel|reset)"
    r"|/gradio_api/file=(?!\s*[\w+.-]{2,}:)"
)
_ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # a drive of Windows has one letter


class Guard:
    """Wraps an ASGI application; `app` is what it protects.

    A body is read to its end before it is passed on: of an upload that breaks off, the toolkit would keep the part.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is refused; pass on everything else."""
        if scope["type"] == "http" and not _OPEN.match(scope["path"]):
            await _refuse(404, "the page has no such door")(scope, receive, send)
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
            await _refuse(408, f"not all of it arrived within {SECONDS:g} seconds")(scope, receive, send)
        except _RefusedError as error:
            await _refuse(error.code, str(error))(scope, receive, send)
        else:
            await self.app(scope, _replay(body, receive), send)


class _RefusedError(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read a body to its end; of one that is too long, no more than the limit."""
    announced = Headers(scope=scope).get("content-length", "")
    body = bytearray()
    if not announced.isdigit() or int(announced) <= limit:
        async for chunk in Request(scope, receive).stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise _RefusedError(413, f"a request has at most {limit:,} bytes here; make the file smaller")


def _check(body: bytes) -> None:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _RefusedError(400, "the request is no JSON that can be read") from error
    if _names_address(asked):
        raise _RefusedError(422, "give a file, not an address")


def _names_address(value: Any) -> bool:
    """Whether anything in here is a file that would have to be fetched from an address."""
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
    """Give the application the body that was read, then what comes after it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return left.pop() if left else await receive()

    return again


def _refuse(code: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=code)
