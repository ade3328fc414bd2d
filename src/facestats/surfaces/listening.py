"""What the service and the page share: who may reach them, and how Ctrl-C ends them."""

from __future__ import annotations

import os
import signal

from facestats.core.config import ConfigError

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def read_secret(variable: str, host: str, *, open_to_all: bool) -> str | None:
    """Read a password from the environment; a ConfigError if other machines could come in without one."""
    found = os.environ.get(variable) or None
    if host not in LOCAL and found is None and not open_to_all:
        msg = f"{host} can be reached by other machines: set {variable}, or say --i-know"
        raise ConfigError(msg)
    return found


def interrupt_once() -> None:
    """Let Ctrl-C come once: who serves takes it for an end like any other, and must not meet it again on the way."""
    if callable(signal.getsignal(signal.SIGINT)):  # else it is switched off
        signal.signal(signal.SIGINT, signal.default_int_handler)
