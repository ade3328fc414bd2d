"""Install facestats into a new environment, measure its size and the time of `import facestats`, and try commands.

The variable UV_TORCH_BACKEND=cpu chooses the torch without CUDA. Run: python benchmarks/installation.py
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
N_IMPORTS = 5
COMMANDS = (
    ("--help",),
    ("demo", "--n", "4", "--out", "pictures"),
    ("extract", "--demo", "--text", "an elderly man with a white beard"),
)


def main() -> None:
    """Print one line per measurement; end with an error if a command fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default=str(ROOT), help="a folder with a wheel, or the clone")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--with", dest="more", action="append", default=[], help="a requirement more")
    args = parser.parse_args()
    wheels = sorted(Path(args.what).glob("*.whl"))
    what = str((wheels or [Path(args.what)])[-1].resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = folder / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        uv = find_uv()
        subprocess.run([uv, "venv", "--quiet", "--python", args.python, str(folder / "env")], check=True)
        start = time.perf_counter()
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", str(python), what, *args.more], check=True
        )
        print(f"machine: Python {_version(python)}, {platform.machine()}, {platform.system()}")
        print(
            f"installed in {time.perf_counter() - start:.0f} s (what uv has in its cache is not fetched again)"
        )
        _print_sizes(folder / "env")
        times = sorted(_import_time(python) for _ in range(N_IMPORTS))
        print(f"import facestats: median {times[N_IMPORTS // 2]:.3f} s of {N_IMPORTS}")
        for words in COMMANDS:
            subprocess.run(
                [python.with_name("facestats"), *words], cwd=folder, check=True, stdout=subprocess.DEVNULL
            )
            print(f"facestats {' '.join(words)}: works")


def find_uv() -> str:
    """Find uv beside this Python or on the path."""
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        sys.exit("uv is missing: pip install uv")
    return found


def _version(python: Path) -> str:
    code = "import platform; print(platform.python_version())"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def _print_sizes(environment: Path) -> None:
    """Print the size of an environment, and of its largest packages."""
    sizes: dict[str, int] = {}
    for file in environment.rglob("*"):
        if file.is_file() and not file.is_symlink():
            parts = file.relative_to(environment).parts
            after = parts.index("site-packages") + 1 if "site-packages" in parts else 0
            sizes[parts[after]] = sizes.get(parts[after], 0) + file.stat().st_size
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
    print(
        f"size: {sum(sizes.values()) / 1e9:.2f} GB; " + ", ".join(f"{n} {s / 1e6:.0f} MB" for n, s in largest)
    )


def _import_time(python: Path) -> float:
    """Measure `import facestats` by -X importtime, in seconds."""
    command = [python, "-X", "importtime", "-c", "import facestats"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stderr.splitlines()
    found = next(
        m for line in lines if (m := re.fullmatch(r"import time:\s*\d+ \|\s*(\d+) \| facestats", line))
    )
    return int(found[1]) / 1e6


if __name__ == "__main__":
    main()
