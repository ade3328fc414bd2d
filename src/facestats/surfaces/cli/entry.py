"""The program `facestats`: a package that is missing is a sentence, also one that the command line itself needs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; if a package is missing, say which one, and end with code 5."""
    try:
        from facestats.surfaces.cli import commands
    except ModuleNotFoundError as error:
        package = {"yaml": "pyyaml"}.get(error.name or "", error.name)
        sys.stderr.write(
            f"facestats needs the package {package}, which is not installed. Type: pip install {package}\n"
        )
        sys.exit(5)
    commands.main()
