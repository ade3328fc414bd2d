"""Start the HTTP service, where nobody but this machine reaches it unless it was told otherwise."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from facestats.core.config import ConfigError
from facestats.core.worker_pool import end_workers
from facestats.surfaces.listening import interrupt_once, read_secret
from facestats.surfaces.service.batching import SECONDS

if TYPE_CHECKING:
    from types import FrameType

    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

KEY_VARIABLE = "FACESTATS_API_KEY"
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
    key = read_secret(KEY_VARIABLE, host, open_to_all=open_to_all)
    try:
        from facestats.surfaces.service import api, uvicorn_server
    except ImportError as error:
        msg = f"the service needs more packages ({error.name}): pip install 'facestats[service]'"
        raise ConfigError(msg) from error
    app = api.create_app(pipeline, api_key=key, batch_size=batch_size, seconds=seconds)
    interrupt_once()
    signal.signal(signal.SIGTERM, _terminate)  # uvicorn raises what it was stopped by when it has stopped
    code = 128 + signal.SIGINT
    try:
        uvicorn_server.run(app, host=host, port=port, seconds=STOP_SECONDS)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
        raise
    finally:
        if app.state.gatherer.busy:
            _leave_threads(code)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def _leave_threads(code: int) -> NoReturn:
    """End the process although a model computes: Python would wait for its thread, minutes perhaps."""
    end_workers()
    atexit._run_exitfuncs()  # temporary folders go
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
