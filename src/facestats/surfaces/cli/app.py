"""The program, and the options that its commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facestats.core.config_source import ConfigSource, find_config
from facestats.surfaces.cli.exit_codes import EPILOG, Commands, echo

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    help="From a folder of face or character pictures to tables, maps and average faces.",
)
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="A YAML file, or the folder of a project; by default $FACESTATS_CONFIG, else the nearest facestats.yaml.",
    ),
]
DemoOption = Annotated[
    bool, typer.Option("--demo", help="Use the demo: drawn characters and toy models, no download.")
]


def find(config: Path | None, *, demo: bool) -> ConfigSource:
    """Find the configuration; where the command does not name it, say once which one it is."""
    source = find_config(config, demo=demo)
    if config is None:
        echo(f"facestats: configuration {source}", err=True)
    return source
