"""A process that has imported everything and starts each trial as a copy of itself, which takes milliseconds.

It computes nothing itself: a fork copies no threads, so no library may have started any. Requests and answers are lines
of JSON. A trial is killed at its n-th step (`at`: each opening, renaming or removal of a file in the project), stopped
after some seconds (`after`, `number`), or runs under limits.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

import filelock  # noqa: F401 - imported before the fork
import scipy.special  # noqa: F401

from facestats.surfaces.cli.exit_codes import describe_error, exit_code, signals_as_exceptions
from tests.faults import flow

STEPS = {
    "open",
    "os.rename",
    "os.remove",
    "os.mkdir",
    "os.rmdir",
    "os.link",
    "os.listdir",
    "shutil.rmtree",
    "os.scandir",
}
NOBODY = 65534


def count_steps(folder: str, at: int | None, seen: list[str]) -> None:
    """Kill this process at step `at`; without it, only list the steps."""

    def step(event: str, args: tuple) -> None:
        if event in STEPS and args and folder in str(args[0]):
            seen.append(f"{event} {Path(str(args[0])).name}")
            if at is not None and len(seen) == at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(step)


def jump(seconds: list[float]) -> None:
    """Let the clock of this process jump by the next of these values at each look."""
    now, jumps, n = time.time, list(seconds), [0]

    def jumping() -> float:
        n[0] += 1
        return now() + jumps[n[0] % len(jumps)]

    time.time = jumping
    time.time_ns = lambda: int(jumping() * 1e9)


def trial(request: dict, answer) -> None:
    """Run one trial; the answer says how it ended."""
    folder, seen = Path(request["folder"]), []
    os.fsync = lambda _: (
        None
    )  # what the system holds survives a kill; only a power failure would show a difference
    if "at" in request:
        count_steps(request["folder"], request["at"], seen)
    if limit := request.get("limit"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if "clock" in request:
        jump(request["clock"])
    if request.get("nobody") and os.geteuid() == 0:  # root may write everything
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    code, said, told = 0, "", None
    try:
        with signals_as_exceptions():
            told = getattr(flow, request["call"])(folder)
    except BaseException as error:  # noqa: BLE001 - the command line ends like this
        code = error.code if isinstance(error, SystemExit) else exit_code(error)
        said = describe_error(error) if code is not None else traceback.format_exc()
    answer.write(json.dumps({"code": code, "said": said, "told": told, "steps": seen}))
    answer.flush()


def start(request: dict) -> tuple[int, int]:
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        return child, reading
    os.close(reading)
    os.dup2(2, 1)  # the answers go through standard output
    try:
        with os.fdopen(writing, "w") as answer:
            trial(request, answer)
    finally:
        os._exit(0)


def finish(request: dict, child: int, reading: int) -> dict:
    if "after" in request:
        time.sleep(request["after"])
        os.kill(child, request["number"])
    with os.fdopen(reading) as stream:
        text = stream.read()
    status = os.waitpid(child, 0)[1]
    killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return {"killed": killed, "code": None, "said": "", **(json.loads(text) if text else {})}


def main() -> None:
    for line in sys.stdin:
        requests = json.loads(line)
        started = [start(request) for request in requests]
        ended = [finish(request, *one) for request, one in zip(requests, started, strict=True)]
        sys.__stdout__.write(json.dumps(ended) + "\n")
        sys.__stdout__.flush()


if __name__ == "__main__":
    main()
