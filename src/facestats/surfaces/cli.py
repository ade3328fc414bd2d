"""The command line: thin, every command calls what the notebooks call.

Exit codes: 0 finished; 1 a notebook failed, or a bug; 2 wrong usage or configuration; 4 no pictures;
5 the environment (disk, permission, missing model); 6 another run holds the table; 130 interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import facestats as fs
from facestats.core.config import ConfigError, find_config
from facestats.core.parts import LockedError, StoreError
from facestats.core.protocols import ModelError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From a folder of face or character pictures to tables, maps and average faces.",
)
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A YAML file; by default $FACESTATS_CONFIG or config/demo.yaml."),
]
_CODES: dict[type[BaseException], int] = {
    ConfigError: 2,
    FileNotFoundError: 4,
    LockedError: 6,
    StoreError: 5,
    ModelError: 5,
    fs.TableError: 2,
}


@app.command()
def run(
    config: ConfigOption = None,
    first: Annotated[str, typer.Option("--from", help="Number of the first notebook, such as 03.")] = "",
    last: Annotated[str, typer.Option("--to", help="Number of the last notebook.")] = "",
) -> None:
    """Run the numbered notebooks in order and write report/index.html.

    What is up to date is not computed again. Example: facestats run --config config/default.yaml --from 03
    """
    from facestats.surfaces.runner import run_notebooks

    run_notebooks(find_config(config), first=first, last=last)


@app.command()
def status(config: ConfigOption = None) -> None:
    """List every table: rows, failures, fresh or stale, and why."""
    from facestats.surfaces.recipe import expected_tables

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
    """Draw a gallery of characters with known attributes, captions and ratings."""
    from facestats.demo.gallery import write_gallery

    write_gallery(out, n=n, seed=seed)


@app.command()
def rate(
    model: Annotated[Path, typer.Option("--model", "-m", help="Folder of a saved ratings model.")],
    config: ConfigOption = None,
) -> None:
    """Apply a saved ratings model to the stored embeddings: writes table scores.

    Example: facestats rate --model data/demo/models/attractiveness
    """
    settings = fs.load_config(find_config(config))
    store, clip = fs.Store(settings.data_dir), fs.models.clip(settings.embeddings)
    trained = fs.load_ratings_model(model, encoder=clip.name)
    landmarks = store.read("faces", columns=["image_id", "landmarks"])
    rows = store.read("embeddings").join(landmarks, on="image_id", how="left", validate="1:1")
    store.build("scores", rows, fs.rate_faces, model=trained)


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
    from facestats.surfaces.runner import run_notebooks

    settings = fs.load_config(find_config(config))
    if truth is not None:
        fs.read_truth(truth, settings.attributes)  # a mistake in the file is said at once
    given = {"truth_file": str(truth.resolve())} if truth is not None else {}
    run_notebooks(find_config(config), first="09", last="09", parameters=given)
    typer.echo(f"run card: {settings.data_dir / 'report' / 'run_card.html'}")


def main() -> None:
    """Run the command line; every expected failure is one line and an exit code."""
    from facestats.surfaces.runner import NotebookError

    try:
        app()
    except KeyboardInterrupt:
        _leave("interrupted; finished chunks are kept, run the same again", 130)
    except NotebookError as error:
        _leave(str(error), 1)
    except tuple(_CODES) as error:
        code = next(c for kind, c in _CODES.items() if isinstance(error, kind))
        _leave(str(error), code)


def _leave(text: str, code: int) -> None:
    typer.echo(f"facestats: error: {text}", err=True)
    sys.exit(code)
