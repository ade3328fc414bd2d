"""What the service and the page share: who may reach them, and which signals stop them."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from facestats.core.config import ConfigError
from facestats.surfaces.temporary import temporary_handlers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def read_secret(variable: str, host: str, *, open_to_all: bool) -> str | None:
    """Read a password from the environment.

    Parameters
    ----------
    variable
        Environment variable that holds it.
    host
        Address to listen on.
    open_to_all
        Whether other machines may come in without a password.

    Returns
    -------
    The password; None if the variable is not set or empty.

    Raises
    ------
    ConfigError
        If other machines could come in without a password, and `open_to_all` does not allow it.
    """
    found = os.environ.get(variable) or None
    if host not in LOCAL and found is None and not open_to_all:
        msg = f"other machines can reach {host}, and no password is set: set {variable}, or add --i-know"
        raise ConfigError(msg)
    return found


@contextmanager
def stopped_by(on_terminate: Callable[..., Any]) -> Iterator[None]:
    """While the block runs, let Ctrl-C raise KeyboardInterrupt once, and let SIGTERM call `on_terminate`.

    The command line raises the exception of a signal again until it arrives (`cli.exit_codes`). For a server Ctrl-C
    is the usual way to end: a second exception would interrupt its closing. The handlers from before come back.
    """
    handlers: dict[int, Callable[..., Any]] = {signal.SIGTERM: on_terminate}
    if callable(signal.getsignal(signal.SIGINT)):  # otherwise Ctrl-C is switched off, as by `nohup`
        handlers[signal.SIGINT] = signal.default_int_handler
    with temporary_handlers(handlers):
        yield
