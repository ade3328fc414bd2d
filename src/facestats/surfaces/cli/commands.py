"""The command line: every command only calls what the notebooks call. Exit codes: `cli.exit_codes`."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

import facestats as fs
from facestats.core.config import load_config
from facestats.core.config_source import find_config
from facestats.core.protocols import ModelError
from facestats.core.shown_text import visible
from facestats.surfaces.cli import doors  # noqa: F401 - adds its commands
from facestats.surfaces.cli.app import ConfigOption, DemoOption, app, find
from facestats.surfaces.cli.exit_codes import (
    MAX_FAILED_SHARE,
    echo,
    end_without_teardown,
    exit_with,
    signals_as_exceptions,
)
from facestats.surfaces.cli.status import count_failed_pictures
from facestats.surfaces.extras import require


@app.command()
def run(
    config: ConfigOption = None,
    demo: DemoOption = False,
    first: Annotated[str, typer.Option("--from", help="Number of the first notebook, such as 03.")] = "",
    last: Annotated[str, typer.Option("--to", help="Number of the last notebook.")] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Compute the failed rows of notebooks 01 and 02 again.")
    ] = False,
) -> None:
    """Run the numbered notebooks in order and write report/index.html.

    Rows that are up to date are not computed again. Example: facestats run --from 03
    """
    from facestats.surfaces.notebooks.run import run_notebooks

    parameters = {"retry_failed": True} if retry_failed else {}
    source = find(config, demo=demo)
    run_notebooks(source, first=first, last=last, parameters=parameters)
    failed, n = count_failed_pictures(load_config(source))
    if failed:
        echo(f"facestats: {failed:,} of {n:,} pictures failed; the report says why", err=True)
    if failed > MAX_FAILED_SHARE * n:
        raise typer.Exit(3)


@app.command()
def status(
    config: ConfigOption = None,
    demo: DemoOption = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file of the tables, and compare its checksum.")
    ] = False,
) -> None:
    """List every table: its rows, its failed rows, whether it is fresh or stale, why, and the command that mends it.

    A table of which a file is missing, cut or changed is damaged. Exit codes: 0 no table is damaged; 5 a table is
    damaged. Example: facestats status --verify
    """
    from facestats.surfaces.cli.status import describe_tables

    for line in describe_tables(load_config(find(config, demo=demo)), verify=verify):
        echo(line)


@app.command()
def init(
    folder: Annotated[
        Path, typer.Argument(help="Folder of the project; it is made if it is missing.")
    ] = Path(),
) -> None:
    """Make a project of your own: facestats.yaml, attributes.yaml, notebooks, and data/raw for the pictures.

    The networks that find faces are fetched too, unless they are on this machine already.
    Files that are there already stay as they are. Example: facestats init my_project
    """
    from facestats.surfaces.project.init import init_project

    for file, is_new in init_project(folder):
        echo(f"{'wrote' if is_new else 'kept '}  {file}")
    try:
        fs.models.landmarker(load_config(folder).faces).folder  # noqa: B018 - fetches what is missing
    except ModelError as error:
        echo(f"facestats: not yet complete: {error}", err=True)
    echo(
        f"Next: put your pictures into {folder / 'data' / 'raw'}, then type: {find_config(folder).command('run')}"
    )


@app.command()
def notebooks(config: ConfigOption = None, demo: DemoOption = False) -> None:
    """Open the numbered notebooks of the project in JupyterLab. Ctrl-C ends it.

    Example: facestats notebooks
    """
    from facestats.surfaces.notebooks.run import find_notebooks
    from facestats.surfaces.project.load import draw_demo

    require("notebooks", ("jupyterlab",), by="facestats notebooks")
    source = find(config, demo=demo)
    draw_demo(load_config(source))
    folder = find_notebooks(source)[0].parent
    command = [sys.executable, "-m", "jupyterlab", str(folder)]
    with suppress(KeyboardInterrupt):
        sys.exit(subprocess.run(command, env={**os.environ, **source.variables}, check=False).returncode)


@app.command()
def demo(
    n: Annotated[int, typer.Option("--n", min=1, help="Number of characters.")] = 240,
    seed: Annotated[int, typer.Option("--seed", help="Seed; the same seed draws the same bytes.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder to write to.")] = Path("data/demo/raw"),
) -> None:
    """Draw a gallery of characters with known attributes, captions and ratings.

    Example: facestats demo --n 60 --out data/demo/raw
    """
    from facestats.demo.gallery import write_gallery

    write_gallery(out, n=n, seed=seed)


@app.command()
def doctor(config: ConfigOption = None, demo: DemoOption = False) -> None:
    """Print versions, devices and models: what is there, what is missing, and which command installs it.

    Nothing is downloaded. Example: facestats doctor
    """
    from facestats.surfaces.cli.doctor import examine

    healthy = True
    for name, ok, found in examine(find_config(config, demo=demo)):
        echo(f"{'ok ' if ok else 'BAD'}  {name:<22} {found}")
        healthy = healthy and ok
    if not healthy:
        raise typer.Exit(5)


@app.command()
def fetch(config: ConfigOption = None, demo: DemoOption = False) -> None:
    """Fetch the models of the project that are not on this machine yet, so that later runs need no network.

    With --demo, these are only the networks that find faces. Example: facestats fetch --demo
    """
    from facestats.surfaces.cli.doctor import model_handles

    problems = []
    for name, handle in model_handles(load_config(find(config, demo=demo))):
        try:
            echo(f"{name:<22} {handle.name} in {handle.folder}")
        except ModelError as error:  # the others are fetched all the same
            problems.append(f"{name}: {error}")
    if problems:
        exit_with(5, "\n".join(problems))


@app.command()
def explore(
    config: ConfigOption = None,
    demo: DemoOption = False,
    thumbnails: Annotated[
        int, typer.Option("--thumbnails", min=0, help="Number of thumbnails to write, at most.")
    ] = 50_000,
) -> None:
    """Write report/explore.parquet (labels, cluster names, layout, thumbnails) and open it in the browser with embedding-atlas.

    Run notebooks 01 to 07 first. The program uvx is needed too; it downloads embedding-atlas on first use. Ctrl-C ends
    the viewer.

    Exit codes: 0 the viewer was closed; 2 wrong usage or configuration; 4 a table or crop is missing, or no face has a
    place on the map; 5 uvx is missing (the file is written, and the command is printed). Any other exit code is that
    of embedding-atlas. Example:

    facestats explore --thumbnails 5000
    """
    from facestats.surfaces.notebooks.explore import atlas_command, named_faces, write_explore_table

    settings = load_config(find(config, demo=demo))
    store = fs.Store(settings.data_dir)
    faces = named_faces(store, list(settings.attributes))
    target = settings.report_dir / "explore.parquet"
    try:
        write_explore_table(faces, store.crops_dir, target, max_thumbnails=thumbnails)
    except fs.tables.TableError:
        raise
    except ValueError as error:  # no face has a place on the map, or a crop is missing
        exit_with(4, str(error))
    command = atlas_command(target)
    echo(shlex.join(command))
    if shutil.which(command[0]) is None:
        exit_with(5, "uvx is missing: install it with 'pip install uv', then run the command above")
    with suppress(KeyboardInterrupt):
        sys.exit(subprocess.run(command, check=False).returncode)


@app.command()
def rate(
    model: Annotated[
        list[Path],
        typer.Option(
            "--model", "-m", help="Folder of a saved model, or of several; may be given repeatedly."
        ),
    ],
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Apply saved ratings models to the stored embeddings, and write table ratings: all traits that are named, no others.

    Example: facestats rate --model data/demo/models
    """
    from facestats.surfaces.cli.rate import rate_stored

    for line in rate_stored(load_config(find(config, demo=demo)), model):
        echo(line)


@app.command()
def audit(
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="A table with image_id or file_name, and one column per attribute."),
    ] = None,
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Score the labels, with or without truth, and write report/run_card.md and report/run_card.html.

    Example: facestats audit --truth my_truth.csv
    """
    from facestats.surfaces.notebooks.run import run_notebooks

    source = find(config, demo=demo)
    settings = load_config(source)
    if truth is not None:
        # an error in the file is reported here, before the run
        fs.human_labels.read_truth(truth, settings.attributes, pictures=settings.raw_dir)
    parameters = {"truth_file": str(truth.resolve())} if truth is not None else {}
    run_notebooks(source, first="09", last="09", parameters=parameters)
    echo(f"run card: {settings.report_dir / 'run_card.html'}")


def main() -> None:
    """Run the command line; every expected failure is one line and an exit code.

    This is the entry point of a process of its own: when it has returned, the process ends at once.
    """
    with end_without_teardown(), signals_as_exceptions():
        _warn_once()
        app()


class _VisibleFormatter(logging.Formatter):
    """Write records so that a terminal obeys nothing in them."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one record."""
        return visible(super().format(record))


def _warn_once() -> None:
    """Write each warning once, on stderr: several tables read the same side files."""
    said: set[str] = set()
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_VisibleFormatter())

    def is_new(record: logging.LogRecord) -> bool:
        text, n_said = record.getMessage(), len(said)
        said.add(text)
        return len(said) > n_said

    handler.addFilter(is_new)
    logging.getLogger().addHandler(handler)
