"""Label pictures, texts, folders and data sets from the command line, as JSON Lines or Parquet; a run can be resumed."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from facestats.core.config import ConfigError
from facestats.core.progress import advance, progress_bar, say
from facestats.core.tables import KEY
from facestats.inputs.captions import list_captions
from facestats.inputs.datasets import BATCH, read_dataset
from facestats.inputs.listing import list_images
from facestats.inputs.textfiles import as_text
from facestats.pictures.paths import path_text
from facestats.surfaces.cli.extract_output import NAMED, open_output
from facestats.surfaces.pipeline.pipeline import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from facestats.surfaces.pipeline.answers import CharacterResult
    from facestats.surfaces.pipeline.pipeline import CharacterPipeline

MAX_FAILED_SHARE = 0.2  # of the inputs; beyond it the exit code is 3


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


def list_inputs(
    images: list[Path] | None = None,
    texts: list[str] | None = None,
    *,
    directory: Path | None = None,
    dataset: str | None = None,
    split: str | None = None,
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
    dataset, split
        A Hugging Face data set, and which split of it.
    samples
        Number of inputs to take from a folder or data set, at most.
    batch_size
        Number of rows of a data set in memory at a time.

    Raises
    ------
    ConfigError
        If no source is named, or several kinds of sources, or an option that does not belong to the source.
    """
    if sum([bool(images or texts), directory is not None, dataset is not None]) != 1:
        msg = "name one source: --image and --text, or --directory, or --dataset (facestats extract --help)"
        raise ConfigError(msg)
    if split is not None and dataset is None:
        msg = f"--split {split} needs a --dataset, and none is named; leave --split out, or name a --dataset"
        raise ConfigError(msg)
    if directory is not None:
        items = list_directory(directory)[:samples]
        return Inputs(items, len(items), f"directory {path_text(directory.resolve())}")
    if dataset is not None:
        rows = stream_items(dataset, split=split, limit=samples, batch_size=batch_size)
        folder = Path(dataset).expanduser()
        name = path_text(folder.resolve()) if folder.is_dir() else dataset
        return Inputs(rows, samples, f"data set {name}, {split or 'first split'}")
    if samples is not None:
        msg = "--samples limits the inputs of a --directory or --dataset; leave it out where inputs are named one by one"
        raise ConfigError(msg)
    items = _name_inputs(images or [], [str(as_text(text)) for text in texts or []])
    return Inputs(items, len(items), NAMED)


def _name_inputs(pictures: list[Path], texts: list[str]) -> list[Item]:
    """Give inputs that are named one by one distinct ids: a repeated name gets a number."""
    if len(pictures) == len(texts) == 1:
        return [Item(path_text(pictures[0]), pictures[0], texts[0])]
    several = [Item(path_text(path), path) for path in pictures]
    several += [Item(f"text {i}", None, text) for i, text in enumerate(texts, start=1)]
    seen: Counter[str] = Counter()
    for i, item in enumerate(several):
        seen[item.id] += 1
        if seen[item.id] > 1:
            several[i] = replace(item, id=f"{item.id}-{seen[item.id]}")
    return several


def list_directory(folder: Path) -> list[Item]:
    """List the pictures in a folder and below it with their captions, in the order of their names."""
    images = list_images(folder).join(list_captions(folder), on=KEY, how="left", maintain_order="left")
    return [
        Item(name, path or str(folder / name), text)
        for name, path, text in images.select(KEY, "path", "text").iter_rows()
    ]


def stream_items(
    source: str, *, split: str | None = None, limit: int | None = None, batch_size: int = BATCH
) -> Iterator[Item]:
    """Read the rows of a Hugging Face data set as inputs, with `batch_size` of them in memory at a time."""
    for batch in read_dataset(source, split=split, n_rows=limit, batch_size=batch_size):
        for name, text, image in batch.select(KEY, "text", "image").iter_rows():
            yield Item(name, image, text)


def extract(
    pipeline: CharacterPipeline,
    items: Iterable[Item],
    out: Path | None,
    *,
    stream: TextIO,
    batch_size: int = 64,
    scores: bool = False,
    total: int | None = None,
    source: str = NAMED,
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
        ``.parquet`` file is written at the end. None writes to `stream`.
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
    made_from = {"source": source, "scores": scores, "recipe": pipeline.labeller.recipe()}
    with open_output(out, made_from) as output:
        if output.complete:
            errors = output.check_table(items)
            say(f"{out} exists and is complete; delete it to make it again", file=sys.stderr)
            return Counts(len(errors), errors.count(), len(errors))
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


class _Writer(Protocol):
    """Writes the answers of a batch."""

    def add(self, results: Sequence[CharacterResult], *, scores: bool) -> None: ...


@dataclass(frozen=True)
class StreamWriter:
    """Write answers to a stream."""

    stream: TextIO

    def add(self, results: Sequence[CharacterResult], *, scores: bool) -> None:
        """Write one line of JSON for each answer."""
        self.stream.writelines(result.to_json(scores=scores) + "\n" for result in results)
        self.stream.flush()


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
    done = failed = 0
    with progress_bar("extract", total or 0, show=total != 1):
        for batch in _batches(items, batch_size):
            results = pipeline.process_batch(batch)
            writer.add(results, scores=scores)
            n_failed = sum(result.error is not None for result in results)
            done, failed = done + len(results), failed + n_failed
            advance(len(results), failed=n_failed)
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
