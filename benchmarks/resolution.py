"""Resolve facestats with all its extras for each Python and platform, from wheels only; nothing is installed.

Run: python benchmarks/resolution.py
"""

from __future__ import annotations

import argparse
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from common import RESULTS, describe_machine, keep, markdown_table
from installation import find_uv

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = {
    "Linux x86-64 (glibc 2.28)": "x86_64-manylinux_2_28",
    "Linux arm64 (glibc 2.28)": "aarch64-manylinux_2_28",
    "macOS 15 arm64": "aarch64-apple-darwin",
    "macOS 15 x86-64": "x86_64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
}
SHOWN = (
    "numpy",
    "torch",
    "opencv-contrib-python",
    "ai-edge-litert",
    "mediapipe",
    "pyarrow",
    "protobuf",
    "ray",
)


def main() -> None:
    """Print a table of what was resolved, and store it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS)
    out = parser.parse_args().out
    pins = {(p, v): resolve(PLATFORMS[p], v) for p in PLATFORMS for v in PYTHONS}
    rows = [{"platform": p, **{v: _count(pins[p, v]) for v in PYTHONS}} for p in PLATFORMS]
    newest = max(PYTHONS, key=lambda v: int(v.partition(".")[2]))
    versions = [
        {"package": name, **{p: _versions(pins, p, name) for p in PLATFORMS if not _failed(pins[p, newest])}}
        for name in SHOWN
    ]
    reasons = {p: found for p in PLATFORMS if _failed(found := pins[p, newest])}
    text = [
        "# facestats and all its extras, from wheels only",
        "",
        "Number of packages in the resolution for each Python:",
        "",
        *markdown_table(pl.DataFrame(rows)),
        "",
        *(f"{p}: {found}" for p, found in reasons.items()),
        "",
        *markdown_table(pl.DataFrame(versions)),
        "",
    ]
    keep("resolution", "\n".join(text), facts=describe_machine([]), out=out, rows=rows, versions=versions)


def resolve(platform: str, python: str, extras: Sequence[str] = ("--all-extras",)) -> dict[str, str] | str:
    """Resolve for one platform and Python; package to version, or what has no wheel."""
    command = [
        find_uv(),
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--only-binary",
        ":all:",
    ]
    command += ["--python-platform", platform, "--python-version", python, *extras, "pyproject.toml"]
    variables = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "15.0"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        return " ".join(done.stderr.split())
    return dict(line.split("==", 1) for line in done.stdout.splitlines() if "==" in line)


def _failed(found: dict[str, str] | str) -> bool:
    return isinstance(found, str)


def _count(found: dict[str, str] | str) -> str:
    return "no" if isinstance(found, str) else str(len(found))


def _versions(pins: dict[tuple[str, str], dict[str, str] | str], platform: str, name: str) -> str:
    """List the versions of a package on a platform, over all Pythons."""
    found = [p.get(name, "-") for (where, _), p in pins.items() if where == platform and isinstance(p, dict)]
    return ", ".join(dict.fromkeys(found))


if __name__ == "__main__":
    main()
