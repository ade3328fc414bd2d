"""Start the HTTP service or the page, where nobody but this machine reaches it unless it was told otherwise."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import TYPE_CHECKING

from facestats.core.config import ConfigError
from facestats.core.progress import say

if TYPE_CHECKING:
    from facestats.surfaces.pipeline import CharacterPipeline

KEY_VARIABLE = "FACESTATS_API_KEY"
PASSWORD_VARIABLE = "FACESTATS_PASSWORD"
LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
STOP_SECONDS = 10


def serve(
    pipeline: CharacterPipeline, *, host: str, port: int, batch_size: int, open_to_all: bool = False
) -> None:
    """Serve until stopped; what is under way at SIGTERM is finished first.

    Raises
    ------
    ConfigError
        If other machines could reach the service without a key and nobody said that this is meant.
    """
    key = _secret(KEY_VARIABLE, host, open_to_all=open_to_all)
    try:
        import uvicorn

        from facestats.surfaces.api import create_app
    except ImportError as error:
        msg = f"the service needs more packages ({error.name}): pip install 'facestats[service]'"
        raise ConfigError(msg) from error
    app = create_app(pipeline, api_key=key, batch_size=batch_size)
    uvicorn.run(
        app,
        host=host,
        port=port,
        http="h11",  # bounds the headers, which httptools does not
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )


def open_page(pipeline: CharacterPipeline, *, host: str, port: int, open_to_all: bool = False) -> None:
    """Serve the web page until stopped.

    Raises
    ------
    ConfigError
        If other machines could reach the page without a password and nobody said that this is meant, or the port is
        taken.
    """
    password = _secret(PASSWORD_VARIABLE, host, open_to_all=open_to_all)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that uploads are cleared away
    # gradio's own folder is shared by all users of the machine; it reads the variable when it is imported
    with tempfile.TemporaryDirectory(prefix="facestats-page-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        _launch(pipeline, host, port, password)


def _launch(pipeline: CharacterPipeline, host: str, port: int, password: str | None) -> None:
    try:
        from facestats.surfaces.app import launch
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
