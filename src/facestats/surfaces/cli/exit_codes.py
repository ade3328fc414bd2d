"""How a command ends: an expected failure is one sentence and an exit code, and a signal leaves no files behind."""

from __future__ import annotations

import atexit
import builtins
import errno
import os
import signal
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperGroup

from facestats.core.shown_text import visible
from facestats.surfaces.extras import MissingExtraError
from facestats.surfaces.notebooks.run import NotebookError
from facestats.surfaces.temporary import temporary_handlers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

EPILOG = (
    "Exit codes: 0 finished; 1 a bug; 2 wrong usage, wrong configuration or an unusable file; 3 finished, but more than"
    " a fifth of the inputs failed; 4 no pictures, or a table that is not made yet; 5 the environment: disk full, no"
    " permission, out of memory, a package or model missing; 6 another run holds the table or output; 7 the output was"
    " begun with other inputs or settings; 130 interrupted; 143 terminated. After 5, 6, 130 and 143 the same command"
    " continues where it ended."
)
MAX_FAILED_SHARE = 0.2  # of the inputs; beyond it the exit code is 3
# by class name, which is all that a notebook tells of an error; a class without a code has that of its base class
CODES = {
    "ConfigError": 2,
    "TableError": 2,
    "CaptionError": 2,
    "LabelError": 2,
    "FileExistsError": 2,
    "FileNotFoundError": 4,
    "StoreError": 5,
    "ModelError": 5,
    "OSError": 5,
    "MemoryError": 5,
    "ImportError": 5,
    "DeadKernelError": 5,
    "LockedError": 6,
    "StateError": 7,
    "KeyboardInterrupt": 130,
}
_REMEDIES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "change the permissions, or choose another folder"
    ),
    errno.EMFILE: "allow more open files (ulimit -n)",
}
_STOPPED = "{}; finished chunks are kept; run the same command again to continue"
_TERMINATED = 128 + signal.SIGTERM
_HAS_TIMER = hasattr(signal, "setitimer")  # not on Windows
_REPEAT_SECONDS = 0.5  # after which the exception of a signal is raised again, if a library dropped it


class Commands(TyperGroup):
    """Commands whose expected failures end with one sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; errors that have a code are reported without a traceback."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader has stopped, as in `facestats extract ... | head`
            raise
        except BaseException as error:
            code = exit_code(error)
            if isinstance(error, SystemExit) and error.code == _TERMINATED:
                exit_with(_TERMINATED, _STOPPED.format("terminated"))
            if code is None:
                raise
            exit_with(code, describe_error(error))


def exit_code(error: BaseException) -> int | None:
    """Look up the exit code of an error; None for an unexpected error.

    A failed notebook has the code of the error in its cell, or 1 if that error has none.
    """
    if not isinstance(error, NotebookError):
        return _find([c.__name__ for c in type(error).__mro__])
    known = getattr(builtins, error.kind, None)
    return _find([c.__name__ for c in known.__mro__] if isinstance(known, type) else [error.kind]) or 1


def _find(names: list[str]) -> int | None:
    return next((CODES[name] for name in names if name in CODES), None)


def describe_error(error: BaseException) -> str:
    """Say in one sentence what happened and what to do; most of our own errors say so themselves."""
    if isinstance(error, KeyboardInterrupt):
        return _STOPPED.format("interrupted")
    if isinstance(error, MemoryError):
        return "there is not enough memory; free some, or set a smaller batch_size, and run the same command again"
    if isinstance(error, ImportError) and not isinstance(error, MissingExtraError):
        return f"a package is missing or broken ({error}); `facestats doctor` says how to install it"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, "correct that")
        return f"{where}{error.strerror}; {remedy}, and run the same command again"
    if type(error).__name__ == "DeadKernelError":
        return "the process of a notebook died, perhaps because memory ran out; finished work is kept; run the same command again"
    return str(error)


def echo(text: object, *, err: bool = False) -> None:
    """Print a line, on standard error if `err`; a terminal obeys nothing in it."""
    typer.echo(visible(text), err=err)


def exit_with(code: int, text: str) -> NoReturn:
    """End the program with an exit code and one line on standard error.

    Where the disk under standard output is full, standard output is given up for the rest of the process.
    """
    try:
        sys.stdout.flush()
    except OSError:  # a full disk: Python would flush again at its end, and exit with code 120
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    echo(f"facestats: error: {text}", err=True)
    sys.exit(code)


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """While the block runs, SIGTERM raises an exception as Ctrl-C does, so that temporary files and locks are removed.

    If a library drops the exception, it is raised again. A second SIGTERM does not interrupt the clean-up. The
    handlers from before come back when the block ends.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread can handle signals
        yield
        return
    numbers = [signal.SIGTERM]
    # where Ctrl-C has another handler, `nohup` or a shell has switched it off
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        numbers.append(signal.SIGINT)
    if _HAS_TIMER:
        numbers.append(signal.SIGALRM)
    with temporary_handlers(dict.fromkeys(numbers, _RepeatedStop())):
        try:
            yield
        finally:
            if _HAS_TIMER:
                signal.setitimer(signal.ITIMER_REAL, 0)


class _RepeatedStop:
    """Handle a signal by an exception, and raise it again until it arrives.

    Compiled code that calls Python, such as polars, may print the exception, drop it and continue.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.error = KeyboardInterrupt()
        elif self.error is None:
            self.error = SystemExit(_TERMINATED)
        elif _is_handled(self.error):
            return
        if _HAS_TIMER:
            signal.signal(signal.SIGALRM, self)
            signal.setitimer(signal.ITIMER_REAL, _REPEAT_SECONDS, _REPEAT_SECONDS)
        raise self.error


def _is_handled(error: BaseException) -> bool:
    """Whether an `except` or `finally` block is handling `error` at this moment."""
    current = sys.exc_info()[1]
    while current is not None and current is not error:
        current = current.__context__
    return current is not None


@contextmanager
def end_without_teardown() -> Iterator[None]:
    """Once Python ends after this block, end the process without freeing its modules, which takes torch 3 seconds.

    For the entry point of a command that owns its process: if the block ends with an exit code, the process ends
    with that code. Threads are waited for, and functions that are registered with `atexit` inside the block run as
    usual.
    """
    code: list[int] = []
    atexit.register(_end, code)  # functions run in reverse order: this one comes last
    try:
        yield
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            code.append(ended.code or 0)
        raise


def _end(code: list[int]) -> None:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):  # a full disk or a closed pipe: Python itself reports it at its end
        return
    if code:
        os._exit(code[0])
