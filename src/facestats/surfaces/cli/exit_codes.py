"""How a command ends: expected failures are one sentence and an exit code, a stop leaves nothing behind."""

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

from facestats.surfaces.notebooks.run import NotebookError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

TABLE = (
    "Exit codes: 0 finished; 1 a bug; 2 wrong usage, configuration or file of yours; 3 finished, but more than a fifth"
    " of the inputs failed; 4 no pictures, or a table that is not made yet; 5 the environment: disk full, no"
    " permission, out of memory, a package or model missing; 6 another run holds the table or output; 7 an output was"
    " begun with other inputs or settings; 130 interrupted; 143 terminated. After 5, 6, 130 and 143 the same command"
    " goes on where it ended."
)
# by name, because a notebook tells no more of an error; a class counts as those it derives from
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
        (errno.EACCES, errno.EPERM, errno.EROFS), "mend the permissions, or choose another place"
    ),
    errno.EMFILE: "allow more open files (ulimit -n)",
}
_INTERRUPTED = "interrupted; finished chunks are kept, run the same again"
_TERMINATED = 128 + signal.SIGTERM
_HAS_TIMER = hasattr(signal, "setitimer")  # not on Windows
_AGAIN_SECONDS = 0.5  # after which an exception that somebody swallowed comes again


class Commands(TyperGroup):
    """Commands whose expected failures end with a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what is in `CODES` needs no trace."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever read has enough, as in `facestats extract ... | head`
            raise
        except BaseException as error:
            code = exit_code(error)
            if code is None:
                raise
            leave(sentence(error), code)


def exit_code(error: BaseException) -> int | None:
    """Look up what an error means; None for what nobody expected.

    An error of a notebook means what the error in its cell does, else 1.
    """
    if not isinstance(error, NotebookError):
        return _find([c.__name__ for c in type(error).__mro__])
    known = getattr(builtins, error.kind, None)
    return _find([c.__name__ for c in known.__mro__] if isinstance(known, type) else [error.kind]) or 1


def _find(names: list[str]) -> int | None:
    return next((CODES[name] for name in names if name in CODES), None)


def sentence(error: BaseException) -> str:
    """Say what happened and what to do, where the error itself does not."""
    if isinstance(error, KeyboardInterrupt):
        return _INTERRUPTED
    if isinstance(error, MemoryError):
        return "there is not enough memory; give the machine more of it, or choose a smaller batch_size, and run again"
    if isinstance(error, ImportError):
        return f"a package is missing or broken ({error}); `facestats doctor` says what mends it"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno or 0, "mend that")
        return f"{where}{error.strerror}; {remedy}, and run the same again"
    if type(error).__name__ == "DeadKernelError":
        return "the process of a notebook died, perhaps for want of memory; what it had finished is kept, run it again"
    return str(error)


def leave(text: str, code: int) -> NoReturn:
    """End the program with one line on standard error."""
    try:
        sys.stdout.flush()
    except OSError:  # a full disk: Python would try again at its end, and leave with 120
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    typer.echo(f"facestats: error: {text}", err=True)
    sys.exit(code)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, by an exception, so that temporary folders go and locks are released.

    Where a library swallows the exception, it comes again. A second SIGTERM does not cut the clearing away short.
    """
    if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
        yield
        return
    stop = _Stop()
    numbers = [signal.SIGTERM]
    if (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):  # not what `nohup` and shells switched off
        numbers.append(signal.SIGINT)
    if again := getattr(signal, "SIGALRM", None):
        numbers.append(again)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        if again:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stop:
    """Handles signals by an exception, and makes sure that it arrives.

    Compiled code that calls Python, as polars does, may print the exception, drop it and go on.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            self.error = KeyboardInterrupt()
        elif self.error is None:
            self.error = SystemExit(_TERMINATED)
        elif _under_way(self.error):
            return
        if _HAS_TIMER:
            signal.signal(signal.SIGALRM, self)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
        raise self.error


def _under_way(error: BaseException) -> bool:
    """Whether what runs at this moment runs because of `error`."""
    current = sys.exc_info()[1]
    while current is not None and current is not error:
        current = current.__context__
    return current is not None


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Let the process end with the block: to take apart all that torch imported, Python needs three seconds.

    Threads are waited for, and what is registered with `atexit` inside the block runs as ever.
    """
    code: list[int] = []
    atexit.register(_end, code)  # the first to be registered runs last
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
    except (OSError, ValueError):  # a full disk, a closed pipe: Python's own end says so
        return
    if code:
        os._exit(code[0])
