"""The commands that answer about pictures and texts: `extract`, `app`, `serve`, `export`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

import facestats as fs
from facestats.core.config import load_config
from facestats.surfaces.cli.app import ConfigOption, DemoOption, app, find
from facestats.surfaces.cli.exit_codes import echo
from facestats.surfaces.extras import require


class Extra(StrEnum):
    """What `export` adds on request."""

    landmarks = "landmarks"
    probabilities = "probabilities"


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
        str | None,
        typer.Option(
            "--dataset",
            help="A folder or file of pictures, tars (WebDataset) or Parquet; or org/name on the Hugging Face hub.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Split of the data set, such as train, or all.")
    ] = None,
    revision: Annotated[
        str | None,
        typer.Option("--revision", help="Commit, tag or branch of a data set on the Hugging Face hub."),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(
            "--texts",
            help="A file of texts: CSV, TSV, Parquet, JSON, JSON Lines, or TXT with one text per line.",
        ),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id-column", help="Column of --texts that names each text.")
    ] = None,
    text_column: Annotated[
        str | None, typer.Option("--text-column", help="Column of the texts in --texts or --dataset.")
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples", min=1, help="Number of inputs to take from the folder, data set or file, at most."
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
            help="File to write: .jsonl, .csv, .xlsx or .parquet. An earlier run with the same inputs and settings is"
            " continued.",
        ),
    ] = None,
    scores: Annotated[bool, typer.Option("--scores", help="Add scores, sources and probabilities.")] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Neither read nor write the cache of answers.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0, max=1, help="A label whose score is below it is null."),
    ] = None,
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Label pictures, texts, a folder or a data set; one line of JSON per input on standard output, or a file.

    One --image and one --text together are one input. An input that fails is in the output, with its error. Examples:

    facestats extract --image anna.jpg --scores

    facestats extract --text "an elderly man with a white beard"

    facestats extract --texts captions.csv --id-column file_name --text-column caption --out labels.csv

    facestats extract --directory pictures --out labels.jsonl

    facestats extract --dataset org/name --samples 1000 --out labels.parquet
    """
    from facestats.surfaces.cli import extract as work

    inputs = work.list_inputs(
        image,
        text,
        directory=directory,
        dataset=dataset,
        split=split,
        revision=revision,
        text_file=texts,
        id_column=id_column,
        text_column=text_column,
        samples=samples,
        batch_size=batch_size,
    )
    settings = load_config(find(config, demo=demo))
    pipeline = fs.CharacterPipeline(settings, not no_cache, threshold=threshold)
    counts = work.extract(
        pipeline,
        inputs.items,
        out,
        stream=sys.stdout,
        batch_size=batch_size,
        scores=scores,
        total=inputs.total,
        source=inputs.source,
        has_pictures=inputs.has_pictures,
    )
    if counts.failed:
        echo(
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
    require("app", ("gradio",), by="the page")
    from facestats.surfaces.page.start import open_page

    pipeline = fs.CharacterPipeline(load_config(find(config, demo=demo)))
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
    require("service", ("fastapi", "prometheus_client", "python_multipart", "uvicorn"), by="the service")
    from facestats.surfaces.service.start import serve as start

    start(
        fs.CharacterPipeline(load_config(find(config, demo=demo)), not no_cache),
        host=host,
        port=port,
        batch_size=batch_size,
        seconds=seconds,
        open_to_all=open_to_all,
    )


@app.command()
def export(
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write: .csv, .xlsx, .sav (SPSS) or .parquet.")
    ],
    table: Annotated[
        str, typer.Option("--table", help="A stored table, such as audit; by default a row per picture.")
    ] = "master",
    columns: Annotated[
        str,
        typer.Option("--columns", help="Columns to write, with commas: image_id,age,gender. By default all."),
    ] = "",
    extra: Annotated[
        list[Extra] | None,
        typer.Option(
            "--with", help="Add landmarks (478 points) or probabilities (of each option); may be repeated."
        ),
    ] = None,
    comma: Annotated[
        bool,
        typer.Option(
            "--decimal-comma", help="CSV with decimal commas and semicolons, for German Excel and others."
        ),
    ] = False,
    config: ConfigOption = None,
    demo: DemoOption = False,
) -> None:
    """Write labels, scores, ratings, clusters, quality and truth for other programs, and a guide to the columns.

    Example: facestats export --out labels.sav --with probabilities
    """
    settings = load_config(find(config, demo=demo))
    more = set(extra or ())
    fs.export(
        settings,
        out,
        table=table,
        columns=[name.strip() for name in columns.split(",")] if columns else None,
        landmarks=Extra.landmarks in more,
        probabilities=Extra.probabilities in more,
        decimal="," if comma else ".",
    )
