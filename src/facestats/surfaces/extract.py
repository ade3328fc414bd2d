"""Label pictures, texts, folders and data sets from the command line: JSON Lines or Parquet, resumable."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import polars as pl

from facestats.core.captions import list_captions
from facestats.core.config import ConfigError
from facestats.core.datasets import read_dataset
from facestats.core.listing import list_images
from facestats.core.parts import write_part
from facestats.core.progress import advance, progress_bar, say
from facestats.core.tables import KEY
from facestats.surfaces.pipeline import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from facestats.surfaces.pipeline import CharacterPipeline

log = logging.getLogger(__name__)

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


def gather(
    images: list[Path] | None,
    texts: list[str] | None,
    *,
    directory: Path | None,
    dataset: str | None,
    split: str | None,
    samples: int | None,
) -> tuple[Iterable[Item], int | None]:
    """Turn what the command line named into inputs, and their number where it is known.

    Raises
    ------
    ConfigError
        If nothing was named, or two kinds of sources at once.
    """
    kinds = [bool(images or texts), directory is not None, dataset is not None]
    if sum(kinds) != 1:
        msg = "name one source: --image and --text, or --directory, or --dataset (facestats extract --help)"
        raise ConfigError(msg)
    if directory is not None:
        items = list_directory(directory)
        return items, len(items)
    if dataset is not None:
        return stream_items(dataset, split=split, limit=samples), samples
    pictures, sentences = images or [], texts or []
    if len(pictures) == len(sentences) == 1:
        return [Item(str(pictures[0]), pictures[0], sentences[0])], 1
    several = [Item(str(path), path) for path in pictures]
    several += [Item(f"text {i}", None, text) for i, text in enumerate(sentences, start=1)]
    return several, len(several)


def list_directory(folder: Path) -> list[Item]:
    """Pictures below a folder with their captions, in the order of their names."""
    images = list_images(folder).join(list_captions(folder), on=KEY, how="left", maintain_order="left")
    return [
        Item(name, path or str(folder / name), text)
        for name, path, text in images.select(KEY, "path", "text").iter_rows()
    ]


def stream_items(source: str, *, split: str | None = None, limit: int | None = None) -> Iterator[Item]:
    """Rows of a Hugging Face data set as inputs."""
    for batch in read_dataset(source, split=split, limit=limit):
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
) -> Tally:
    """Label `items` batch by batch and write one line of JSON each.

    Parameters
    ----------
    pipeline
        Labels them.
    items
        Inputs with distinct ids.
    out
        A file of JSON Lines, continued where it ends; ``.parquet`` is written when all is done, its lines are kept
        beside it until then. None writes to `stream`.
    stream
        Where lines go without `out`.
    batch_size
        Inputs labelled together, and lost at most in a kill.
    scores
        Whether each line holds scores, sources and probabilities.
    total
        Number of items, for the progress bar.

    Returns
    -------
    Counts of the whole output, lines of an earlier run included.
    """
    lines = None if out is None else out.with_name(f".{out.name}.jsonl") if out.suffix == ".parquet" else out
    if out is not None and out.suffix == ".parquet" and out.exists():
        say(f"{out} is there already; delete it to make it again", file=sys.stderr)
        table = pl.read_parquet(out, columns=["error"])
        return Tally(table.height, table["error"].count(), table.height)
    before = _finished(lines) if lines is not None else {}
    if before:
        say(f"{len(before)} answers are there already in {lines}; going on behind them", file=sys.stderr)
    done, failed = len(before), sum(before.values())
    target = stream if lines is None else lines.open("a", encoding="utf-8")
    try:
        with progress_bar("extract", total or 0, show=total != 1):
            for batch in _batches((item for item in items if item.id not in before), batch_size):
                results = pipeline.process_batch(batch)
                target.writelines(result.to_json(scores=scores) + "\n" for result in results)
                target.flush()
                bad = sum(result.error is not None for result in results)
                done, failed = done + len(results), failed + bad
                advance(len(results), failed=bad)
    finally:
        if lines is not None:
            target.close()
    if out is not None and lines is not None and lines != out:
        _write_parquet(lines, out)
    return Tally(done, failed, len(before))


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _finished(file: Path) -> dict[str, bool]:
    """Ids in a file of JSON Lines, and whether each failed; half a line at its end is taken off."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        return {}
    found: dict[str, bool] = {}
    whole = 0
    with file.open("rb") as opened:
        for number, line in enumerate(opened, start=1):
            if not line.endswith(b"\n"):
                break
            try:
                row = json.loads(line)
                found[row["id"]] = row["error"] is not None
            except (ValueError, KeyError, TypeError) as error:
                msg = f"{file}, line {number} is no answer of facestats ({error!r}); give another --out, or delete it"
                raise FileExistsError(msg) from error
            whole += len(line)
    if whole < file.stat().st_size:
        with file.open("r+b") as opened:
            opened.truncate(whole)
    return found


def _write_parquet(lines: Path, out: Path) -> None:
    """Turn finished lines into a table: a row per answer, a column per attribute."""
    rows: list[dict[str, Any]] = []
    with lines.open(encoding="utf-8") as opened:
        for line in opened:
            answer = json.loads(line)
            row = {KEY: answer["id"], "error": answer["error"], **answer["attributes"]}
            for title, label in answer.get("scores", {}).items():
                row |= {f"{title}_{part}": label[part] for part in ("score", "source", "conflict")}
            rows.append(row)
    write_part(pl.DataFrame(rows, infer_schema_length=None), out, {"source": "facestats extract"})
    lines.unlink()
