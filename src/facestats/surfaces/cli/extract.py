"""Label pictures, texts, folders and data sets from the command line; a run can be resumed."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

import polars as pl

from facestats.core.config import ConfigError
from facestats.core.display import count_of
from facestats.core.progress import advance, progress_bar, say
from facestats.core.tables import KEY
from facestats.inputs.captions import list_captions
from facestats.inputs.dataset_sources import BATCH
from facestats.inputs.datasets import read_dataset
from facestats.inputs.listing import SUFFIXES, list_images
from facestats.inputs.textfiles import READERS, TEXT_COLUMNS, CaptionError, as_text, pick_column, read_table
from facestats.pictures.decode import PictureError
from facestats.pictures.paths import path_text
from facestats.surfaces.cli.exit_codes import MAX_FAILED_SHARE
from facestats.surfaces.cli.extract_output import NAMED, StreamWriter, check_output, open_output
from facestats.surfaces.pipeline.items import Item, distinct_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from facestats.surfaces.pipeline.answers import CharacterResult
    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """How many answers an output holds, how many of them are errors, and how many are from an earlier run."""

    done: int
    failed: int
    from_before: int = 0

    @property
    def too_many_failed(self) -> bool:
        """Whether more than a fifth of the inputs failed."""
        return self.failed > MAX_FAILED_SHARE * max(self.done, 1)


@dataclass(frozen=True)
class Inputs:
    """What the command line names: inputs with distinct ids, their number if it is known, and their source."""

    items: Iterable[Item] = field(repr=False)
    total: int | None
    source: str
    has_pictures: bool = True


def list_inputs(  # noqa: PLR0913 - each is an option
    images: list[Path] | None = None,
    texts: list[str] | None = None,
    *,
    directory: Path | None = None,
    dataset: str | None = None,
    split: str | None = None,
    revision: str | None = None,
    text_file: Path | None = None,
    id_column: str | None = None,
    text_column: str | None = None,
    samples: int | None = None,
    batch_size: int = BATCH,
) -> Inputs:
    """Turn what the command line names into inputs.

    Parameters
    ----------
    images, texts
        Pictures and texts that are named one by one; one picture and one text together are one input.
    directory
        A folder of pictures.
    dataset, split, revision
        A data set, which split of it, and which revision if it is one of the Hugging Face hub.
    text_file, id_column
        A table of texts, and which column of it names them.
    text_column
        The column of the texts in the table or data set.
    samples
        Number of inputs to take from a folder, data set or table, at most.
    batch_size
        Number of rows of a data set in memory at a time.

    Raises
    ------
    ConfigError
        If no source is named, or several kinds of sources, or an option that does not belong to the source, or a file
        as the wrong kind of source.
    FileNotFoundError
        If a folder, data set or table does not exist or holds nothing.
    """
    sources = {
        "--image and --text": bool(images or texts),
        "--texts": text_file is not None,
        "--directory": directory is not None,
        "--dataset": dataset is not None,
    }
    if sum(sources.values()) != 1:
        *names, last = sources
        msg = f"name one source: {', or '.join(names)}, or {last} (facestats extract --help)"
        raise ConfigError(msg)
    named = next(name for name, is_named in sources.items() if is_named)
    options = {
        "--split": split,
        "--revision": revision,
        "--id-column": id_column,
        "--text-column": text_column,
        "--samples": samples,
    }
    for option, value in options.items():
        _check_option(option, value, named)
    if directory is not None:
        items = list_directory(directory)[:samples]
        return Inputs(items, len(items), f"directory {path_text(directory.resolve())}")
    if text_file is not None:
        items = list_texts(text_file, id_column=id_column, text_column=text_column)[:samples]
        columns = {"--id-column": id_column, "--text-column": text_column}
        chosen = [f"{name} {value}" for name, value in columns.items() if value is not None]
        source = ", ".join([f"texts {path_text(text_file.resolve())}", *chosen])
        return Inputs(items, len(items), source, has_pictures=False)
    if dataset is not None:
        _check_dataset(dataset)
        rows = stream_items(
            dataset, split=split, revision=revision, text=text_column, limit=samples, batch_size=batch_size
        )
        path = Path(dataset).expanduser()
        name = path_text(path.resolve()) if path.exists() else dataset
        pinned = f"@{revision}" if revision else ""
        return Inputs(rows, samples, f"data set {name}{pinned}, {split or 'first split'}")
    for text in texts or []:
        _check_text(text)
    items = _name_inputs(images or [], [str(as_text(text)) for text in texts or []])
    return Inputs(items, len(items), NAMED)


_BELONGS_TO = {
    "--split": ("--dataset",),
    "--revision": ("--dataset",),
    "--id-column": ("--texts",),
    "--text-column": ("--texts", "--dataset"),
    "--samples": ("--directory", "--dataset", "--texts"),
}


def _check_option(option: str, value: object, source: str) -> None:
    """Raise ConfigError if an option is given that the source does not have."""
    owners = _BELONGS_TO[option]
    if value is not None and source not in owners:
        msg = f"{option} {value} belongs to {' or '.join(owners)}, and the source is {source}; leave {option} out"
        raise ConfigError(msg)


def _check_dataset(dataset: str) -> None:
    """Raise ConfigError if a table of texts is named as a data set."""
    path = Path(dataset).expanduser()
    if path.suffix.lower() in READERS and path.suffix.lower() != ".parquet" and path.is_file():
        msg = f"{dataset} is a file of texts: use --texts {dataset}"
        raise ConfigError(msg)


def _check_text(text: str) -> None:
    """Raise ConfigError if a text is the name of a file."""
    try:
        is_file = Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # no file can have this name
        return
    if is_file:
        option = "--image" if Path(text).suffix.lower() in SUFFIXES else "--texts"
        msg = f"--text {text}: this is a file: use {option} {text}"
        raise ConfigError(msg)


def _name_inputs(pictures: list[Path], texts: list[str]) -> list[Item]:
    """Give inputs that are named one by one distinct ids: a repeated name gets a number."""
    if len(pictures) == len(texts) == 1:
        return [Item(path_text(pictures[0]), pictures[0], texts[0])]
    several = [Item(path_text(path), path) for path in pictures]
    several += [Item(f"text {i}", None, text) for i, text in enumerate(texts, start=1)]
    return distinct_ids(several)


def list_directory(folder: Path) -> list[Item]:
    """List the pictures in a folder and below it with their captions, in the order of their names."""
    images = list_images(folder).join(list_captions(folder), on=KEY, how="left", maintain_order="left")
    return [
        Item(name, path or str(folder / name), text)
        for name, path, text in images.select(KEY, "path", "text").iter_rows()
    ]


def list_texts(file: Path, *, id_column: str | None = None, text_column: str | None = None) -> list[Item]:
    """List the texts of a table; without a column of names, a hash of each text names it."""
    file = file.expanduser()
    if not file.is_file():
        kind = "a folder; use --directory or --dataset" if file.is_dir() else "no file; correct the path"
        msg = f"--texts {file}: this is {kind}"
        raise FileNotFoundError(msg)
    if id_column is None:
        frame = list_captions(file, text=text_column)
    else:
        table = read_table(file)
        names = pick_column(table.columns, id_column, usual=(), where=file)
        others = [column for column in table.columns if column != names]
        words = pick_column(others, text_column, usual=TEXT_COLUMNS, where=file)
        frame = table.select(
            pl.col(names).cast(pl.String).alias(KEY), pl.col(words).cast(pl.String).alias("text")
        )
        if empty := frame.filter(pl.col(KEY).fill_null("").str.strip_chars() == "").height:
            msg = (
                f"{file}: the column {id_column!r} must name every text; {count_of(empty, 'row')} without a name."
                " Fill them in, or name another column by --id-column; without it, texts are named by their content."
            )
            raise CaptionError(msg)
        twice = frame.filter(pl.col(KEY).is_duplicated())[KEY]
        if twice.len():
            several = count_of(twice.n_unique(), "name")
            log.warning(
                "%s: %s with several texts, such as %r: the further ones get a number",
                file,
                several,
                twice[0],
            )
    if frame.is_empty():
        msg = f"--texts {file}: there is no text in this file"
        raise FileNotFoundError(msg)
    return distinct_ids(Item(name, None, text) for name, text in frame.select(KEY, "text").iter_rows())


def stream_items(
    source: str,
    *,
    split: str | None = None,
    revision: str | None = None,
    text: str | None = None,
    limit: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[Item]:
    """Read the rows of a data set as inputs, with `batch_size` of them in memory at a time; say what is read."""
    batches = read_dataset(
        source,
        split=split,
        revision=revision,
        text=text,
        n_rows=limit,
        batch_size=batch_size,
        report=lambda line: say(f"{source}: {line}", file=sys.stderr),
    )

    def items() -> Iterator[Item]:
        for batch in batches:
            for name, said, image, status, error in batch.iter_rows():
                yield Item(name, image if status is None else PictureError(status, error), said)

    return items()


def extract(  # noqa: PLR0913 - each is an option
    pipeline: CharacterPipeline,
    items: Iterable[Item],
    out: Path | None,
    *,
    stream: TextIO,
    batch_size: int = 64,
    scores: bool = False,
    total: int | None = None,
    source: str = NAMED,
    has_pictures: bool = True,
) -> Counts:
    """Label `items` batch by batch, and write one line of JSON for each.

    Parameters
    ----------
    pipeline
        Labels the items.
    items
        Inputs with distinct ids.
    out
        A file of JSON Lines; if an earlier run began it with the same inputs and settings, this run continues it. A
        table (``.parquet``, ``.csv``, ``.xlsx``) is written at the end. None writes to `stream`.
    stream
        Where the lines go if `out` is None.
    batch_size
        Number of inputs labelled together; if the process is killed, at most these are lost.
    scores
        Whether each line holds scores, sources and probabilities.
    total
        Number of items, for the progress bar.
    source
        Where the items are from; an output holds items of one source. If an input has changed since it was answered,
        it is labelled again, and the new answer replaces the old one; inputs that are named one by one raise
        StateError instead, because their ids do not identify them.
    has_pictures
        Whether there are pictures among the items; if not, the models for pictures do not decide the answers.

    Returns
    -------
    Counts of the whole output, including the lines of an earlier run.

    Raises
    ------
    StateError
        If the output was begun with other inputs or settings.
    LockedError
        If another run writes the output.
    """
    if out is None:
        return _label(
            pipeline, items, StreamWriter(stream), scores=scores, batch_size=batch_size, total=total
        )
    check_output(out)  # before a model is looked up
    made_from = {
        "source": source,
        "scores": scores,
        "recipe": pipeline.labeller.recipe(pictures=has_pictures, texts=_may_have_texts(items, source)),
    }
    if pipeline.threshold is not None:
        made_from["threshold"] = pipeline.threshold
    with open_output(out, made_from) as output:
        if output.complete:
            done, failed = output.check_table(items)
            say(f"{out} exists and is complete; delete it to make it again", file=sys.stderr)
            return Counts(done, failed, done)
        todo: Iterable[Item] = (item for item in items if output.needs(item))
        if isinstance(items, list):  # an error is raised before any work
            todo = list(todo)
            total = len(todo)
        n_before = len(output.failed)
        if n_before:
            say(
                f"{output.answers} holds {n_before:,} answers already; continuing after them", file=sys.stderr
            )
        _label(pipeline, todo, output, scores=scores, batch_size=batch_size, total=total)
        output.finish()
        return Counts(len(output.failed), sum(output.failed.values()), n_before)


def _may_have_texts(items: Iterable[Item], source: str) -> bool:
    """Whether a text model may be needed; it is known of pictures that are named one by one."""
    if source != NAMED or not isinstance(items, list):
        return True
    return any(item.text is not None for item in items)


class _Writer(Protocol):
    """Writes the answers of a batch."""

    def add(self, results: Sequence[CharacterResult], *, scores: bool) -> None: ...


def _label(
    pipeline: CharacterPipeline,
    items: Iterable[Item],
    writer: _Writer,
    *,
    scores: bool,
    batch_size: int,
    total: int | None,
) -> Counts:
    """Label items, and write the answers of each batch."""
    done = failed = n_conflicts = 0
    with progress_bar("extract", total or 0, show=total != 1):
        for batch in _batches(items, batch_size):
            results = pipeline.process_batch(batch)
            writer.add(results, scores=scores)
            n_failed = sum(result.error is not None for result in results)
            done, failed = done + len(results), failed + n_failed
            n_conflicts += sum(
                any(result.attributes[name].conflict for name in result.attributes) for result in results
            )
            advance(len(results), failed=n_failed)
    if n_conflicts and not scores:
        which = f"{n_conflicts:,} of {count_of(done, 'input')}"
        say(f"{which}: picture and text disagree on an attribute; --scores shows both", file=sys.stderr)
    return Counts(done, failed)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
