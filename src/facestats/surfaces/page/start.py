"""Start the page, where nobody but this machine reaches it unless it was told otherwise."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from facestats.core.config import ConfigError
from facestats.core.progress import say
from facestats.surfaces.listening import interrupt_once, read_secret
from facestats.surfaces.temporary import temporary_folder

if TYPE_CHECKING:
    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

PASSWORD_VARIABLE = "FACESTATS_PASSWORD"


def open_page(pipeline: CharacterPipeline, *, host: str, port: int, open_to_all: bool = False) -> None:
    """Serve the web page until stopped.

    Raises
    ------
    ConfigError
        If other machines could reach the page without a password and nobody said that this is meant, or the port is
        taken.
    """
    password = read_secret(PASSWORD_VARIABLE, host, open_to_all=open_to_all)
    interrupt_once()
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
