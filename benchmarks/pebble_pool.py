"""Compare the worker processes of facestats (core/workers.py, on loky) with a pool of pebble.

Both align the pictures of the demo with two processes, in turns. Both get a task that dies and one that hangs, and then
lose a process that does nothing. At last, both are used by a script that does not protect its main module with
``if __name__ == "__main__"``, as short scripts do not; a script that has not ended after 30 seconds is stopped.

    pip install pebble
    python benchmarks/pebble_pool.py --rounds 7

The result goes to benchmarks/results/ as Markdown and JSON, with date, git revision, machine and versions.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import clock, describe_machine, keep, rate_table
from pebble import ProcessExpired, ProcessPool

import facestats as fs
from facestats.core.config import FacesSettings
from facestats.core.workers import WorkerLostError, map_tasks
from facestats.demo.gallery import write_gallery
from facestats.faces.align import _align_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORKERS, TASK_SIZE, SECONDS = 2, 8, 5.0
TRAPS = [*range(10), "die", *range(10), "hang", *range(10)]
LIMIT = 30  # seconds that an unprotected script may take
PACKAGES = ("loky", "pebble", "numpy", "opencv-contrib-python")
OURS = "from facestats.core.workers import map_tasks; print(*map_tasks(list, [1], workers=2))"
PEBBLE = """
from pebble import ProcessPool
{}
pool = ProcessPool(max_workers=2, context=get_context({!r}))
print(pool.schedule(list, args=[[1]]).result())
pool.stop()
pool.join()
"""
SCRIPTS = {
    "ours": OURS,
    "pebble": PEBBLE.format("from multiprocessing import get_context", "spawn"),
    "pebble with the processes of loky": PEBBLE.format("from loky.backend import get_context", "loky"),
}


def fall_into(items: Sequence[Any]) -> list[Any]:
    """Return the items, unless one of them kills or stops the process."""
    for item in items:
        if item == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "hang":
            time.sleep(600)
    return list(items)


def list_processes(items: Sequence[Any]) -> list[int]:
    """Return the number of the process for each item."""
    time.sleep(0.2)
    return [os.getpid() for _ in items]


def lose_an_idle_process(run: Callable[..., list]) -> str:
    """Kill a process while it does nothing; say what becomes of the next tasks."""
    os.kill(run(list_processes, [0] * 4, size=1)[0], signal.SIGKILL)
    time.sleep(1)
    try:
        return f"{len(run(list, [1, 2, 3], size=1))} of 3 results"
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"


def run_ours(func: Callable[..., list], items: Sequence[Any], *, size: int, seconds: float = 120) -> list:
    """Map by the workers of facestats; a lost item is an error in its place."""
    tasks = map_tasks(func, items, workers=WORKERS, task_size=size, seconds=seconds)
    return [result for _, results in tasks for result in results]


def run_pebble(
    pool: ProcessPool, func: Callable[..., list], items: Sequence[Any], *, size: int, seconds: float = 120
) -> list:
    """Map by a pool of pebble; a lost task is one error."""
    tasks = [items[start : start + size] for start in range(0, len(items), size)]
    out: list[Any] = []
    for future in [pool.schedule(func, args=[task], timeout=seconds) for task in tasks]:
        try:
            out += future.result()
        except (ProcessExpired, FutureTimeoutError) as error:
            out.append(error)
    return out


def run_script(code: str, folder: Path) -> str:
    """Run a script in a session of its own; say how it ended."""
    (folder / "script.py").write_text(code)
    command = [sys.executable, str(folder / "script.py")]
    null = subprocess.DEVNULL
    program = subprocess.Popen(command, stdout=null, stderr=null, start_new_session=True)
    start = time.perf_counter()
    try:
        code_of_exit = program.wait(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        return f"had not ended after {LIMIT} s"
    return f"ended with code {code_of_exit} after {time.perf_counter() - start:.1f} s"


def main() -> None:
    """Measure, print and store the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=240, help="number of pictures")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    facts = describe_machine(PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = fs.list_images(write_gallery(folder / "raw", n=args.n, workers=1))
        items = list(images.select("image_id", "path").iter_rows())
        settings = FacesSettings()
        align = partial(
            _align_task,
            landmarker=fs.models.landmarker(settings),
            crops_dir=folder,
            size=settings.crop_size,
            policy=settings.policy,
            max_pixels=settings.max_pixels,
        )
        pool = ProcessPool(max_workers=WORKERS, context=get_context("spawn"))
        runs = {"ours": run_ours, "pebble": partial(run_pebble, pool)}
        for run in runs.values():  # the processes start, and load the networks
            run(align, items[: 4 * TASK_SIZE], size=TASK_SIZE)
        rates: dict[str, list[float]] = {run: [] for run in runs}
        for _ in range(args.rounds):
            for kind, run in runs.items():
                rates[kind].append(len(items) / clock(partial(run, align, items, size=TASK_SIZE))[0])
        left = {kind: run(fall_into, TRAPS, size=1, seconds=SECONDS) for kind, run in runs.items()}
        idle = {kind: lose_an_idle_process(run) for kind, run in runs.items()}
        pool.stop()
        pool.join()
        scripts = {kind: run_script(code, folder) for kind, code in SCRIPTS.items()}
    lost = {
        kind: sum(isinstance(r, WorkerLostError | ProcessExpired | FutureTimeoutError) for r in results)
        for kind, results in left.items()
    }
    ratio = statistics.median(b / a for a, b in zip(rates["ours"], rates["pebble"], strict=True))
    lines = [
        "# Worker processes: ours on loky, and pebble",
        "",
        "; ".join(f"{k}: {v}" for k, v in facts.items()),
        "",
        f"Pictures of the demo aligned per second by {WORKERS} processes, {args.rounds} rounds in turns.",
        "",
        *rate_table(rates),
        "",
        f"- pebble is {ratio:.2f} times as fast as ours (median of the rounds)",
        *(
            f"- {kind}: {n} of {len(TRAPS)} tasks lost to one that dies and one that hangs"
            for kind, n in lost.items()
        ),
        *(
            f"- {kind}: after an idle process was killed, the next call gave {said}"
            for kind, said in idle.items()
        ),
        *(f"- {kind}: a script without a protected main module {said}" for kind, said in scripts.items()),
    ]
    keep(
        "pebble_pool",
        "\n".join(lines) + "\n",
        facts=facts,
        rates=rates,
        lost=lost,
        idle=idle,
        scripts=scripts,
    )


if __name__ == "__main__":
    main()
