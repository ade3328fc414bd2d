"""Start the HTTP service; other machines reach it only with a key, or if the user allows it without one."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from facestats.core.worker_pool import end_workers
from facestats.surfaces.listening import read_secret, stopped_by
from facestats.surfaces.service.batching import SECONDS

if TYPE_CHECKING:
    from types import FrameType

    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

KEY_VARIABLE = "FACESTATS_API_KEY"
STOP_SECONDS = 10  # from SIGTERM to the end of the process


def serve(
    pipeline: CharacterPipeline,
    *,
    host: str,
    port: int,
    batch_size: int,
    seconds: float = SECONDS,
    open_to_all: bool = False,
) -> None:
    """Serve until a signal stops it; work that is under way then gets `STOP_SECONDS` to finish.

    This function belongs to a command that owns its process: uvicorn sets up the logging, and if a model still
    computes at the end, the whole process ends without waiting for it. Signal handlers are put back.

    Parameters
    ----------
    pipeline
        Labels what comes in.
    host, port
        Where to listen.
    batch_size
        Number of inputs labelled together, at most.
    seconds
        Longest wait for an answer, in seconds.
    open_to_all
        Whether other machines may come in without a key.

    Raises
    ------
    ConfigError
        If other machines could reach the service without a key and `open_to_all` does not allow it.
    """
    key = read_secret(KEY_VARIABLE, host, open_to_all=open_to_all)
    from facestats.surfaces.service import api, uvicorn_server

    app = api.create_app(pipeline, api_key=key, batch_size=batch_size, seconds=seconds)
    with stopped_by(_terminate):  # once uvicorn has stopped, it raises the signal that stopped it again
        code = 128 + signal.SIGINT
        try:
            uvicorn_server.run(app, host=host, port=port, seconds=STOP_SECONDS)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            raise
        finally:
            if app.state.batcher.busy:
                _end_process(code)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def _end_process(code: int) -> NoReturn:
    """End the process although a model computes: Python itself would wait for its thread, perhaps for minutes.

    What is registered with `atexit` runs first, because it removes temporary folders. Python has no public function
    for that.
    """
    end_workers()  # a thread that still computes must not start new ones
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
