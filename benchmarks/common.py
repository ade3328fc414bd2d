"""What all benchmarks share: the description of the machine, tables in Markdown, and the files of results."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facestats.core.workers import cpu_count

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

RESULTS = Path(__file__).parent / "results"


def describe_machine(packages: Sequence[str]) -> dict[str, Any]:
    """Describe date, git revision, machine, its load before the measurement, and the versions of `packages`."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    revision = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision,
        "machine": f"{model or platform.processor()}, {cpu_count()} cores, {platform.system()}",
        "load before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def clock(run: Callable[[], Any]) -> tuple[float, Any]:
    """Call `run` once; return the seconds that it took, and its result."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def markdown_table(table: pl.DataFrame) -> list[str]:
    """Write a frame as the lines of a Markdown table; numbers have three decimals."""
    lines = ["| " + " | ".join(table.columns) + " |", "|--" * table.width + "|"]
    return lines + [
        "| " + " | ".join(v if isinstance(v, str) else f"{v:.3f}" for v in row) + " |"
        for row in table.iter_rows()
    ]


def rate_table(rates: dict[str, list[float]]) -> list[str]:
    """Write the lines of a Markdown table: median and range of each run, and how many times as fast ours is."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    lines = ["| run | median | lowest | highest | ours is |", "|--|--|--|--|--|"]
    for name, values in rates.items():
        shown = " | ".join(f"{v:.4g}" for v in (medians[name], min(values), max(values)))
        lines.append(f"| {name} | {shown} | {medians['ours'] / medians[name]:.2f} times |")
    return lines


def keep(name: str, text: str, *, facts: dict[str, Any], out: Path = RESULTS, **numbers: Any) -> None:
    """Write a result as Markdown and, with all numbers, as JSON; the date in the name keeps earlier results."""
    out.mkdir(parents=True, exist_ok=True)
    stem = f"{name}_{facts['date'][:10]}"
    (out / f"{stem}.md").write_text(text)
    (out / f"{stem}.json").write_text(json.dumps({"facts": facts, **numbers}, indent=2) + "\n")
    print(text)
