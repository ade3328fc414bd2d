"""Start the web page; other machines reach it only with a password, or if the user allows it without one."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from facestats.core.config import ConfigError
from facestats.core.progress import say
from facestats.surfaces.listening import read_secret, stopped_by
from facestats.surfaces.temporary import temporary_environment, temporary_folder

if TYPE_CHECKING:
    from types import FrameType

    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

PASSWORD_VARIABLE = "FACESTATS_PASSWORD"


def open_page(pipeline: CharacterPipeline, *, host: str, port: int, open_to_all: bool = False) -> None:
    """Serve the web page until a signal stops it.

    Signal handlers and environment variables are put back at the end.

    Parameters
    ----------
    pipeline
        Labels what is put in.
    host, port
        Where to listen.
    open_to_all
        Whether other machines may come in without a password.

    Raises
    ------
    SystemExit
        With code 143, if the process was told to end (SIGTERM).
    ConfigError
        If other machines could reach the page without a password and `open_to_all` does not allow it, or if the port
        is taken.
    """
    password = read_secret(PASSWORD_VARIABLE, host, open_to_all=open_to_all)
    code = 0

    def terminate(number: int, frame: FrameType | None) -> None:
        nonlocal code
        code = 128 + signal.SIGTERM
        signal.default_int_handler(number, frame)

    # SIGTERM raises KeyboardInterrupt, like Ctrl-C, so that uploads are removed; gradio catches it. By default gradio
    # keeps uploads in a folder that all users of the machine share.
    with (
        stopped_by(terminate),
        temporary_folder("facestats-page-") as uploads,
        temporary_environment(GRADIO_TEMP_DIR=str(uploads)),
    ):
        _launch(pipeline, host, port, password)
    if code:
        raise SystemExit(code)


def _launch(pipeline: CharacterPipeline, host: str, port: int, password: str | None) -> None:
    from facestats.surfaces.page.app import launch

    say(f"http://{host}:{port}  (Ctrl-C ends it)")
    try:
        launch(pipeline, host=host, port=port, password=password)
    except OSError as error:
        msg = f"cannot listen on {host}:{port}, perhaps because a page runs there already: choose another --port"
        raise ConfigError(msg) from error
