"""Label pictures, texts, folders and data sets from the command line: JSON Lines or Parquet, resumable."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass, replace
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

MAX_BAD_SHARE = 0.2


@dataclass(frozen=True)
class Tally:
    """What came of a run: how many answers, how many of them failures, how many were there before."""

    done: int
    failed: int
    before: int = 0

    @property
    def mostly_bad(self) -> bool:
        """Whether more than a fifth failed."""
        return self.failed > MAX_BAD_SHARE * max(self.done, 1)


@dataclass(frozen=True)
class Inputs:
    """What the command line named: inputs with distinct ids, their number where it is known, and where they are from."""

    items: Iterable[Item]
    total: int | None
    source: str


def gather(
    images: list[Path] | None = None,
    texts: list[str] | None = None,
    *,
    directory: Path | None = None,
    dataset: str | None = None,
    split: str | None = None,
    samples: int | None = None,
    batch_size: int = BATCH,
) -> Inputs:
    """Turn what the command line named into inputs.

    Parameters
    ----------
    images, texts
        One of each together are one input.
    directory
        A folder of pictures.
    dataset, split
        A Hugging Face data set, and which part of it.
    samples
        Inputs of a folder or data set at most.
    batch_size
        Rows of a data set to hold at a time.

    Raises
    ------
    ConfigError
        If nothing was named, two kinds of sources at once, or an option that the source does not have.
    """
    if sum([bool(images or texts), directory is not None, dataset is not None]) != 1:
        msg = "name one source: --image and --text, or --directory, or --dataset (facestats extract --help)"
        raise ConfigError(msg)
    if split is not None and dataset is None:
        msg = f"--split {split} names a part of a data set, and there is none; leave it out, or name a --dataset"
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
        msg = "--samples counts inputs of a --directory or --dataset; leave it out where each is named"
        raise ConfigError(msg)
    items = _named(images or [], [str(as_text(text)) for text in texts or []])
    return Inputs(items, len(items), NAMED)


def _named(pictures: list[Path], texts: list[str]) -> list[Item]:
    """Inputs that were named one by one; a name that is there already gets a number behind."""
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
    """Pictures below a folder with their captions, in the order of their names."""
    images = list_images(folder).join(list_captions(folder), on=KEY, how="left", maintain_order="left")
    return [
        Item(name, path or str(folder / name), text)
        for name, path, text in images.select(KEY, "path", "text").iter_rows()
    ]


def stream_items(
    source: str, *, split: str | None = None, limit: int | None = None, batch_size: int = BATCH
) -> Iterator[Item]:
    """Rows of a Hugging Face data set as inputs, `batch_size` of them in memory."""
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
) -> Tally:
    """Label `items` batch by batch and write one line of JSON each.

    Parameters
    ----------
    pipeline
        Labels them.
    items
        Inputs with distinct ids.
    out
        A file of JSON Lines, continued where it ends if the same inputs and settings began it; ``.parquet`` is written
        when all is done. None writes to `stream`.
    stream
        Where lines go without `out`.
    batch_size
        Inputs labelled together, and lost at most in a kill.
    scores
        Whether each line holds scores, sources and probabilities.
    total
        Number of items, for the progress bar.
    source
        Where the items are from; an output holds those of one source. An input that changed since is labelled anew,
        and its answer replaces the old one, but not where its id says nothing of it.

    Returns
    -------
    Counts of the whole output, lines of an earlier run included.

    Raises
    ------
    StateError
        If the output was begun with something else.
    LockedError
        If another run writes it.
    """
    if out is None:
        return _label(pipeline, items, Printer(stream), scores=scores, batch_size=batch_size, total=total)
    about = {"source": source, "scores": scores, "recipe": pipeline.labeller.recipe()}
    with open_output(out, about) as output:
        if output.complete:
            errors = output.check_table(items)
            say(f"{out} is there already; delete it to make it again", file=sys.stderr)
            return Tally(len(errors), errors.count(), len(errors))
        wanted: Iterable[Item] = (item for item in items if output.wants(item))
        if isinstance(items, list):  # an error comes before the work
            wanted = list(wanted)
            total = len(wanted)
        before = len(output.failed)
        if before:
            said = f"{before} answers are there already in {output.lines}; going on behind them"
            say(said, file=sys.stderr)
        _label(pipeline, wanted, output, scores=scores, batch_size=batch_size, total=total)
        output.finish()
        return Tally(len(output.failed), sum(output.failed.values()), before)


class _Sink(Protocol):
    """Takes the answers of a batch."""

    def add(self, results: Sequence[CharacterResult], *, scores: bool) -> None: ...


@dataclass(frozen=True)
class Printer:
    """Writes answers to a stream."""

    stream: TextIO

    def add(self, results: Sequence[CharacterResult], *, scores: bool) -> None:
        """Write a line of JSON for each."""
        self.stream.writelines(result.to_json(scores=scores) + "\n" for result in results)
        self.stream.flush()


def _label(
    pipeline: CharacterPipeline,
    items: Iterable[Item],
    sink: _Sink,
    *,
    scores: bool,
    batch_size: int,
    total: int | None,
) -> Tally:
    """Label items, and hand on the answers of each batch."""
    done = failed = 0
    with progress_bar("extract", total or 0, show=total != 1):
        for batch in _batches(items, batch_size):
            results = pipeline.process_batch(batch)
            sink.add(results, scores=scores)
            bad = sum(result.error is not None for result in results)
            done, failed = done + len(results), failed + bad
            advance(len(results), failed=bad)
    return Tally(done, failed)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
