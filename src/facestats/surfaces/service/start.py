"""Start the HTTP service or the page, where nobody but this machine reaches it unless it was told otherwise."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from facestats.core.config import ConfigError
from facestats.core.worker_pool import end_workers
from facestats.core.progress import say
from facestats.surfaces.temporary import temporary_folder
from facestats.surfaces.service.batching import SECONDS

if TYPE_CHECKING:
    from types import FrameType

    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

KEY_VARIABLE = "FACESTATS_API_KEY"
PASSWORD_VARIABLE = "FACESTATS_PASSWORD"
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
STOP_SECONDS = 10  # from SIGTERM to the end


def serve(
    pipeline: CharacterPipeline,
    *,
    host: str,
    port: int,
    batch_size: int,
    seconds: float = SECONDS,
    open_to_all: bool = False,
) -> None:
    """Serve until stopped; what is under way at SIGTERM is finished first, for `STOP_SECONDS` at most.

    Raises
    ------
    ConfigError
        If other machines could reach the service without a key and nobody said that this is meant.
    """
    key = _secret(KEY_VARIABLE, host, open_to_all=open_to_all)
    try:
        from facestats.surfaces.service import api, asgi
    except ImportError as error:
        msg = f"the service needs more packages ({error.name}): pip install 'facestats[service]'"
        raise ConfigError(msg) from error
    app = api.create_app(pipeline, api_key=key, batch_size=batch_size, seconds=seconds)
    _interrupt_once()
    signal.signal(signal.SIGTERM, _terminate)  # uvicorn raises what it was stopped by when it has stopped
    code = 128 + signal.SIGINT
    try:
        asgi.run(app, host=host, port=port, seconds=STOP_SECONDS)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        raise
    finally:
        if app.state.gatherer.busy:
            _leave_threads(code)


def _interrupt_once() -> None:
    """Let Ctrl-C come once: who serves takes it for an end like any other, and must not meet it again on the way."""
    if callable(signal.getsignal(signal.SIGINT)):  # else it is switched off
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def _leave_threads(code: int) -> NoReturn:
    """End the process although a model computes: Python would wait for its thread, minutes perhaps."""
    end_workers()
    atexit._run_exitfuncs()  # temporary folders go
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def open_page(pipeline: CharacterPipeline, *, host: str, port: int, open_to_all: bool = False) -> None:
    """Serve the web page until stopped.

    Raises
    ------
    ConfigError
        If other machines could reach the page without a password and nobody said that this is meant, or the port is
        taken.
    """
    password = _secret(PASSWORD_VARIABLE, host, open_to_all=open_to_all)
    _interrupt_once()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that uploads are cleared away
    # gradio's own folder is shared by all users of the machine; it reads the variable when it is imported
    with temporary_folder("facestats-page-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        _launch(pipeline, host, port, password)


def _launch(pipeline: CharacterPipeline, host: str, port: int, password: str | None) -> None:
    try:
        from facestats.surfaces.page.app import launch
    except ImportError as error:
        msg = f"the page needs more packages ({error.name}): pip install 'facestats[app]'"
        raise ConfigError(msg) from error
    say(f"http://{host}:{port}  (Ctrl-C ends it)")
    try:
        launch(pipeline, host=host, port=port, password=password)
    except OSError as error:
        msg = f"{host}:{port} cannot be listened on, perhaps because a page runs there already: give another --port"
        raise ConfigError(msg) from error


def _secret(variable: str, host: str, *, open_to_all: bool) -> str | None:
    found = os.environ.get(variable) or None
    if host not in LOCAL and found is None and not open_to_all:
        msg = f"{host} can be reached by other machines: set {variable}, or say --i-know"
        raise ConfigError(msg)
    return found
