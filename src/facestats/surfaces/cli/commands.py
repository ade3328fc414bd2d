"""The command line: thin, every command calls what the notebooks call. Exit codes: `surfaces.exits`."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

import facestats as fs
from facestats.core.config import find_config
from facestats.surfaces.cli.exit_codes import TABLE, Commands, ended_at_once, leave, stopped_by_signals

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    epilog=TABLE,
    help="From a folder of face or character pictures to tables, maps and average faces.",
)
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A YAML file; by default $FACESTATS_CONFIG or config/demo.yaml."),
]


@app.command()
def run(
    config: ConfigOption = None,
    first: Annotated[str, typer.Option("--from", help="Number of the first notebook, such as 03.")] = "",
    last: Annotated[str, typer.Option("--to", help="Number of the last notebook.")] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Compute failed rows of 01 and 02 again.")
    ] = False,
) -> None:
    """Run the numbered notebooks in order and write report/index.html.

    What is up to date is not computed again. Example: facestats run --config config/default.yaml --from 03
    """
    from facestats.surfaces.notebooks.run import run_notebooks

    given = {"retry_failed": True} if retry_failed else {}
    run_notebooks(find_config(config), first=first, last=last, parameters=given)


@app.command()
def status(config: ConfigOption = None) -> None:
    """List every table: rows, failures, fresh or stale, and why.

    Example: facestats status --config config/default.yaml
    """
    from facestats.surfaces.notebooks.expected_tables import expected_tables

    settings = fs.load_config(find_config(config))
    table = fs.Store(settings.data_dir).status(expected_tables(settings))
    for row in [table.columns, *table.rows()]:
        name, rows, failed, state, why = map(str, row)
        typer.echo(f"{name:<12} {rows:>9} {failed:>7}  {state:<8} {why}".rstrip())


@app.command()
def demo(
    n: Annotated[int, typer.Option("--n", min=1, help="Number of characters.")] = 240,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same bytes.")] = 0,
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
        Path | None, typer.Option("--directory", "-d", help="All pictures below a folder.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="A Hugging Face data set: org/name or a local folder.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Part of the data set.")] = None,
    samples: Annotated[
        int | None, typer.Option("--samples", min=1, help="Inputs of the folder or data set at most.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Inputs labelled together.")] = 64,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="JSON Lines, or .parquet; a run of the same inputs and settings is continued."
        ),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Add scores, sources and probabilities.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep answers.")] = False,
    config: ConfigOption = None,
) -> None:
    """Label pictures, texts, a folder or a data set; one line of JSON per input on standard output or in a file.

    One picture and one text together are one input. Inputs that fail are in the output with their error. Examples:

    facestats extract --image anna.jpg --scores

    facestats extract --text "an elderly man with a white beard"

    facestats extract --directory pictures --out labels.jsonl

    facestats extract --dataset org/name --samples 1000 --out labels.parquet
    """
    from facestats.surfaces.cli import extract as work

    inputs = work.gather(
        image, text, directory=directory, dataset=dataset, split=split, samples=samples, batch_size=batch_size
    )
    pipeline = fs.CharacterPipeline(find_config(config), not no_cache)
    tally = work.extract(
        pipeline,
        inputs.items,
        out,
        stream=sys.stdout,
        batch_size=batch_size,
        scores=scores,
        total=inputs.total,
        source=inputs.source,
    )
    if tally.failed:
        typer.echo(f"facestats: {tally.failed} of {tally.done} inputs failed; see their error", err=True)
    if tally.mostly_bad:
        raise typer.Exit(3)


@app.command(name="app")
def page(
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 7860,
    open_to_all: Annotated[
        bool, typer.Option("--i-know", help="Listen to other machines without a password.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Open the web page. The password of user facestats, if any, comes from $FACESTATS_PASSWORD.

    Example: facestats app --config config/default.yaml
    """
    from facestats.surfaces.page.start import open_page

    open_page(fs.CharacterPipeline(find_config(config)), host=host, port=port, open_to_all=open_to_all)


@app.command()
def serve(
    *,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8000,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Inputs labelled together.")] = 16,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            min=1,
            help="Longest wait for an answer, then 503. A batch must be done by then: BART-large on 2 cores reads a"
            " text in 4 seconds, so 16 take 70.",
        ),
    ] = 60,
    open_to_all: Annotated[
        bool, typer.Option("--i-know", help="Listen to other machines without a key.")
    ] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither read nor keep answers.")] = False,
    config: ConfigOption = None,
) -> None:
    """Serve POST /extract over HTTP; documentation at /docs. The key, if any, comes from $FACESTATS_API_KEY.

    Example: FACESTATS_API_KEY=... facestats serve --host 0.0.0.0
    """
    from facestats.surfaces.service.start import serve as work

    work(
        fs.CharacterPipeline(find_config(config), not no_cache),
        host=host,
        port=port,
        batch_size=batch_size,
        seconds=seconds,
        open_to_all=open_to_all,
    )


@app.command()
def doctor(config: ConfigOption = None) -> None:
    """Print versions, devices and models: which are there, which are missing, and the line that mends it.

    Nothing is fetched. Example: facestats doctor --config config/default.yaml
    """
    from facestats.surfaces.cli.doctor import examine

    healthy = True
    for name, well, found in examine(config):
        typer.echo(f"{'ok ' if well else 'BAD'}  {name:<22} {found}")
        healthy = healthy and well
    if not healthy:
        raise typer.Exit(5)


@app.command()
def explore(
    config: ConfigOption = None,
    thumbnails: Annotated[
        int, typer.Option("--thumbnails", min=0, help="Most thumbnails to write.")
    ] = 50_000,
) -> None:
    """Write report/explore.parquet (labels, named clusters, layout, thumbnails) and open it in embedding-atlas, in the browser.

    Needs notebooks 01 to 07 to have run, and uvx, which fetches embedding-atlas on first use. Ctrl-C ends it.

    Exit codes: 0 closed; 2 wrong usage or configuration; 4 a table or crop is missing, or no face has a place; 5 uvx
    is missing (the file is written, and the command printed); any other is that of embedding-atlas. Example:

    facestats explore --config config/default.yaml --thumbnails 5000
    """
    from facestats.surfaces.notebooks.explore import atlas_command, named_faces, write_explore_table

    settings = fs.load_config(find_config(config))
    store = fs.Store(settings.data_dir)
    faces = named_faces(store, list(settings.attributes))
    target = settings.report_dir / "explore.parquet"
    try:
        write_explore_table(faces, store.crops_dir, target, max_thumbnails=thumbnails)
    except fs.tables.TableError:
        raise
    except ValueError as error:  # no face on the map, or crops that are gone
        leave(str(error), 4)
    command = atlas_command(target)
    typer.echo(shlex.join(command))
    if shutil.which(command[0]) is None:
        leave("uvx is missing: get it with 'pip install uv', then run the command above", 5)
    with suppress(KeyboardInterrupt):
        sys.exit(subprocess.run(command, check=False).returncode)


@app.command()
def rate(
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder of a saved ratings model.")],
    config: ConfigOption = None,
) -> None:
    """Apply a saved ratings model to the stored embeddings: writes table ratings.

    Example: facestats rate --model data/demo/models/attractiveness
    """
    settings = fs.load_config(find_config(config))
    store, clip = fs.Store(settings.data_dir), fs.models.clip(settings.embeddings)
    trained = fs.ratings.load_model(model, encoder=clip.name)
    landmarks = store.scan("faces").select("image_id", "landmarks")
    rows = store.scan("embeddings").join(landmarks, on="image_id", how="left", validate="1:1")
    store.build("ratings", rows, fs.ratings.rate_faces, model=trained)


@app.command()
def audit(
    truth: Annotated[
        Path | None,
        typer.Option("--truth", help="A table with image_id or file_name and a column per attribute."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Score the labels, with truth or without, and write report/run_card.md and .html.

    Example: facestats audit --truth my_truth.csv
    """
    from facestats.surfaces.notebooks.run import run_notebooks

    settings = fs.load_config(find_config(config))
    if truth is not None:
        fs.human_labels.read_truth(truth, settings.attributes)  # a mistake in the file is said at once
    given = {"truth_file": str(truth.resolve())} if truth is not None else {}
    run_notebooks(find_config(config), first="09", last="09", parameters=given)
    typer.echo(f"run card: {settings.data_dir / 'report' / 'run_card.html'}")


def main() -> None:
    """Run the command line; every expected failure is one line and an exit code."""
    with ended_at_once(), stopped_by_signals():
        app()
