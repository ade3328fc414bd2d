"""The command line: every command only calls what the notebooks call. Exit codes: `cli.exit_codes`."""

from __future__ import annotations

import importlib.util
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
from facestats.core.config_source import ConfigSource, find_config
from facestats.core.display import format_value
from facestats.surfaces.cli.exit_codes import (
    EPILOG,
    Commands,
    end_without_teardown,
    exit_with,
    signals_as_exceptions,
)

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


def _find(config: Path | None, *, demo: bool) -> ConfigSource:
    """Find the configuration; where the command does not name it, say once which one it is."""
    source = find_config(config, demo=demo)
    if config is None:
        typer.echo(f"facestats: configuration {source}", err=True)
    return source


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
    run_notebooks(_find(config, demo=demo), first=first, last=last, parameters=parameters)


@app.command()
def status(config: ConfigOption = None) -> None:
    """List every table: its rows, its failed rows, whether it is fresh or stale, and why.

    Example: facestats status --config config/default.yaml
    """
    from facestats.surfaces.notebooks.expected_tables import expected_tables

    settings = fs.load_config(find_config(config))
    table = fs.Store(settings.data_dir).status(expected_tables(settings))
    for row in [table.columns, *table.rows()]:
        name, rows, failed, state, why = map(format_value, row)
        typer.echo(f"{name:<12} {rows:>9} {failed:>7}  {state:<8} {why}".rstrip())


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the project; it is made if it is missing.")] = Path(),
) -> None:
    """Make a project of your own: facestats.yaml, attributes.yaml, notebooks, and data/raw for the pictures.

    Files that are there already stay as they are. Example: facestats init my_project
    """
    from facestats.surfaces.project.init import init_project

    for file, is_new in init_project(folder):
        typer.echo(f"{'wrote' if is_new else 'kept '}  {file}")
    typer.echo(
        f"Next: put your pictures into {folder / 'data' / 'raw'}, then type: {find_config(folder).command('run')}"
    )


@app.command()
def notebooks(config: ConfigOption = None, demo: DemoOption = False) -> None:
    """Open the numbered notebooks of the project in JupyterLab. Ctrl-C ends it.

    Example: facestats notebooks
    """
    from facestats.surfaces.notebooks.run import find_notebooks
    from facestats.surfaces.project.load import draw_demo

    source = _find(config, demo=demo)
    draw_demo(load_config(source))
    folder = find_notebooks(source)[0].parent
    if importlib.util.find_spec("jupyterlab") is None:
        exit_with(5, "the notebooks need a package that is not installed (jupyterlab): pip install jupyterlab")
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
def extract(  # noqa: PLR0913, PLR0917 - each is an option
    image: Annotated[
        list[Path] | None, typer.Option("--image", "-i", help="A picture; may be repeated.")
    ] = None,
    text: Annotated[list[str] | None, typer.Option("--text", "-t", help="A text; may be repeated.")] = None,
    directory: Annotated[
        Path | None,
        typer.Option("--directory", "-d", help="A folder; all pictures in it and below it are labelled."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="A Hugging Face data set: org/name or a local folder.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Split of the data set, such as train.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples", min=1, help="Number of inputs to take from the folder or data set, at most."
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Number of inputs labelled together.")
    ] = 64,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File to write: JSON Lines, or .parquet. An earlier run with the same inputs and settings is continued.",
        ),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Add scores, sources and probabilities.")] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither read nor write the cache of answers.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Label pictures, texts, a folder or a data set; one line of JSON per input on standard output or in a file.

    One --image and one --text together are one input. An input that fails is in the output, with its error. Examples:

    facestats extract --image anna.jpg --scores

    facestats extract --text "an elderly man with a white beard"

    facestats extract --directory pictures --out labels.jsonl

    facestats extract --dataset org/name --samples 1000 --out labels.parquet
    """
    from facestats.surfaces.cli import extract as work

    inputs = work.list_inputs(
        image, text, directory=directory, dataset=dataset, split=split, samples=samples, batch_size=batch_size
    )
    pipeline = fs.CharacterPipeline(find_config(config), not no_cache)
    counts = work.extract(
        pipeline,
        inputs.items,
        out,
        stream=sys.stdout,
        batch_size=batch_size,
        scores=scores,
        total=inputs.total,
        source=inputs.source,
    )
    if counts.failed:
        typer.echo(
            f"facestats: {counts.failed:,} of {counts.done:,} inputs failed; the output holds the error of each",
            err=True,
        )
    if counts.too_many_failed:
        raise typer.Exit(3)


@app.command(name="app")
def page(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 7860,
    open_to_all: Annotated[
        bool, typer.Option("--i-know", help="Let other machines in without a password.")
    ] = False,
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Serve the web page. If $FACESTATS_PASSWORD is set, the user facestats logs in with that password.

    Example: facestats app --demo
    """
    from facestats.surfaces.page.start import open_page

    pipeline = fs.CharacterPipeline(load_config(_find(config, demo=demo)))
    open_page(pipeline, host=host, port=port, open_to_all=open_to_all)


@app.command()
def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8000,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Number of inputs labelled together.")
    ] = 16,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            min=1,
            help="Longest wait for an answer, in seconds; after that the answer is 503. A whole batch must be done by"
            " then: BART-large on 2 cores takes 4 seconds for a text and 70 for 16.",
        ),
    ] = 60,
    open_to_all: Annotated[
        bool, typer.Option("--i-know", help="Let other machines in without a key.")
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither read nor write the cache of answers.")
    ] = False,
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Serve POST /extract over HTTP, with documentation at /docs. If $FACESTATS_API_KEY is set, requests need that key.

    Example: FACESTATS_API_KEY=... facestats serve --host 0.0.0.0
    """
    from facestats.surfaces.service.start import serve as start

    start(
        fs.CharacterPipeline(load_config(_find(config, demo=demo)), not no_cache),
        host=host,
        port=port,
        batch_size=batch_size,
        seconds=seconds,
        open_to_all=open_to_all,
    )


@app.command()
def doctor(config: ConfigOption = None, demo: DemoOption = False) -> None:
    """Print versions, devices and models: what is there, what is missing, and which command installs it.

    Nothing is downloaded. Example: facestats doctor
    """
    from facestats.surfaces.cli.doctor import examine

    healthy = True
    for name, ok, found in examine(find_config(config, demo=demo)):
        typer.echo(f"{'ok ' if ok else 'BAD'}  {name:<22} {found}")
        healthy = healthy and ok
    if not healthy:
        raise typer.Exit(5)


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

    settings = load_config(_find(config, demo=demo))
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
    typer.echo(shlex.join(command))
    if shutil.which(command[0]) is None:
        exit_with(5, "uvx is missing: install it with 'pip install uv', then run the command above")
    with suppress(KeyboardInterrupt):
        sys.exit(subprocess.run(command, check=False).returncode)


@app.command()
def rate(
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder of a saved ratings model.")],
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Apply a saved ratings model to the stored embeddings, and write table ratings.

    Example: facestats rate --model data/demo/models/attractiveness
    """
    settings = load_config(_find(config, demo=demo))
    store, clip = fs.Store(settings.data_dir), fs.models.clip(settings.embeddings)
    trained = fs.ratings.load_model(model, encoder=clip.name)
    landmarks = store.scan("faces").select("image_id", "landmarks")
    rows = store.scan("embeddings").join(landmarks, on="image_id", how="left", validate="1:1")
    store.build("ratings", rows, fs.ratings.rate_faces, model=trained)


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

    source = _find(config, demo=demo)
    settings = load_config(source)
    if truth is not None:
        # an error in the file is reported here, before the run
        fs.human_labels.read_truth(truth, settings.attributes)
    parameters = {"truth_file": str(truth.resolve())} if truth is not None else {}
    run_notebooks(source, first="09", last="09", parameters=parameters)
    typer.echo(f"run card: {settings.report_dir / 'run_card.html'}")


def main() -> None:
    """Run the command line; every expected failure is one line and an exit code.

    This is the entry point of a process of its own: when it has returned, the process ends at once.
    """
    with end_without_teardown(), signals_as_exceptions():
        app()
