"""The file that `facestats extract` writes: one run at a time writes it, and a later run with the same settings continues it.

Two files lie beside it. ``.NAME.lock`` is locked by the run that writes. ``.NAME.notes`` holds in its first line what the
answers are made from, then one line per answered input with a fingerprint of its content. Answers for a table are
collected in ``.NAME.jsonl``. A finished table keeps what it was made from: Parquet in itself, others in ``.NAME.about``.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

import polars as pl

from facestats.core.atomic_write import write_atomically
from facestats.core.config import ConfigError
from facestats.core.tables import KEY
from facestats.pictures.decode import PictureError
from facestats.pictures.paths import picture_path
from facestats.store.fingerprint import explain_change
from facestats.store.locks import exclusive_lock
from facestats.store.table_files import META, READ_ERRORS, write_part
from facestats.surfaces.spreadsheets import write_csv, write_excel

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from facestats.surfaces.pipeline.answers import CharacterResult
    from facestats.surfaces.pipeline.pipeline import Item

NAMED = "what --image and --text name"  # stored in outputs: another text would make them unusable
ANOTHER = "choose another --out, or delete it"
_LINE_START = b'{"id": '
_LINES = (".jsonl", ".ndjson")
_WRITERS = {".csv": write_csv, ".xlsx": write_excel}  # Parquet is written with what it was made from
_TABLES = (".parquet", *_WRITERS)


@dataclass(frozen=True)
class StreamWriter:
    """Write answers to a stream."""

    stream: TextIO

    def add(self, results: Sequence[CharacterResult], *, scores: bool) -> None:
        """Write one line of JSON for each answer."""
        self.stream.writelines(result.to_json(scores=scores) + "\n" for result in results)
        self.stream.flush()


class StateError(ConfigError):
    """The output was begun with other inputs or settings; the message names them and says what to do."""


@contextmanager
def open_output(out: Path, made_from: Mapping[str, Any]) -> Iterator[Output]:
    """Lock an output for this run, and continue or begin it.

    Parameters
    ----------
    out
        A file of JSON Lines (``.jsonl``, ``.ndjson``), or a table (``.parquet``, ``.csv``, ``.xlsx``), which is written
        at the end.
    made_from
        What decides the answers, as JSON values: `source`, `scores` and `recipe`.

    Raises
    ------
    ConfigError
        If the suffix of `out` is none of these, or `out` is no regular file.
    StateError
        If the output was begun with something else.
    LockedError
        If another run writes the output.
    """
    check_output(out)
    out = out.resolve() if out.is_symlink() else out  # one file under two names is one output
    out.parent.mkdir(parents=True, exist_ok=True)
    locks = [out.with_name(f".{out.name}.{end}") for end in ("lock", "owner")]
    with exclusive_lock(*locks, what=f"{out} is being written"):
        output = Output(out, made_from)
        try:
            yield output
        finally:
            output.close()


def check_output(out: Path) -> None:
    """Raise ConfigError if `out` is no file that answers can be written to; the message names those that are."""
    if out.exists() and not out.is_file():
        msg = f"{out} is not a regular file; name a file, or leave out --out to write to standard output"
        raise ConfigError(msg)
    if out.suffix.lower() not in {*_LINES, *_TABLES}:
        meant = f"{out.stem}.jsonl for JSON Lines, {out.stem}.csv, {out.stem}.xlsx or {out.stem}.parquet for a table"
        msg = f"--out {out}: the end of the name says what to write, and {out.suffix or 'no end'!r} says nothing; use {meant}"
        raise ConfigError(msg)


class Output:
    """An output that is being written; see :func:`open_output`.

    `failed` tells for each answered id whether its answer is an error.
    """

    def __init__(self, out: Path, made_from: Mapping[str, Any]) -> None:
        self.out = out
        self.made_from = json.loads(json.dumps(made_from))
        self.answers = out.with_name(f".{out.name}.jsonl") if self._is_table else out
        self.notes = out.with_name(f".{out.name}.notes")
        self.about = out.with_name(f".{out.name}.about")
        self.failed: dict[str, bool] = {}
        self._fingerprints: dict[str, str] = {}
        # taken before an input is read: if it changes while it is labelled, it is labelled again
        self._pending: dict[str, str] = {}
        self._has_replaced = False
        self._files: list[Any] = []
        if not self.complete:
            self._resume()

    @property
    def _is_table(self) -> bool:
        return self.out.suffix.lower() in _TABLES

    @property
    def complete(self) -> bool:
        """Whether the output is a table that exists: a table is written only at the end."""
        return self._is_table and self.out.exists()

    def check_table(self, items: Iterable[Item]) -> tuple[int, int]:
        """Compare the finished table with what would be made now, and return how many answers and errors it holds.

        Inputs are compared if they are a list; those of a data set, which come one after another, are not.
        """
        try:
            meta = self._read_meta()
            before, inputs, done, failed = (meta[name] for name in ("about", "inputs", "done", "failed"))
        except (*READ_ERRORS, ValueError, TypeError) as error:
            msg = f"{self.out} is not a table of facestats extract ({_first_line(error)}); {ANOTHER}"
            raise FileExistsError(msg) from error
        self._compare(before)
        if isinstance(items, list) and inputs != _digest({i.id: fingerprint_input(i) for i in items}):
            msg = f"{self.out} is complete, but since then inputs were added, changed or removed; {ANOTHER} to make it again"
            raise StateError(msg)
        for left in (self.answers, self.notes):  # a process killed at the last moment leaves them
            left.unlink(missing_ok=True)
        return done, failed

    def _read_meta(self) -> dict[str, Any]:
        if self.out.suffix.lower() not in _WRITERS:
            return json.loads(pl.read_parquet_metadata(self.out)[META])
        return json.loads(self.about.read_bytes())

    def needs(self, item: Item) -> bool:
        """Whether an input has no answer yet, or has changed since it was answered.

        Raises
        ------
        StateError
            If a changed input was named by --image or --text: another input may have the same id, and its answer
            would be lost.
        """
        now, before = fingerprint_input(item), self._fingerprints.get(item.id)
        if item.id in self.failed and now == before:
            return False
        if item.id in self.failed and before is not None and self.made_from["source"] == NAMED:
            msg = f"{item.id!r} had other content when it was answered in {self.out}; {ANOTHER}"
            raise StateError(msg)
        self._pending[item.id] = now
        return True

    def add(self, results: Sequence[CharacterResult], *, scores: bool) -> None:
        """Write answers to inputs that were needed; an answer counts once its fingerprint is noted."""
        names = dict.fromkeys(result.id for result in results)
        fingerprints = {name: self._pending.pop(name, "") for name in names}
        answers = [result.to_json(scores=scores) for result in results]
        notes = [json.dumps(note) for note in fingerprints.items()]
        for file, lines in zip(self._files, (answers, notes), strict=True):
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
        self._has_replaced |= not fingerprints.keys().isdisjoint(self.failed)
        self._fingerprints |= fingerprints
        self.failed |= {result.id: result.error is not None for result in results}

    def close(self) -> None:
        """Close the files; a later run can continue the output."""
        with ExitStack() as stack:  # on a full disk closing one fails; the other is closed all the same
            while self._files:
                stack.callback(self._files.pop().close)

    def finish(self) -> None:
        """Remove answers that later ones replace, and write the table if the output is one."""
        self.close()
        if self._has_replaced:
            self._drop_replaced()
        if self._is_table:
            self._write_table()
            self.answers.unlink()
            self.notes.unlink()

    def _write_table(self) -> None:
        """Write the table and what it was made from; the table comes last, because it says that all is there."""
        inputs = _digest({name: self._fingerprints[name] for name in self.failed})
        counts = {"done": len(self.failed), "failed": sum(self.failed.values())}
        meta = {"source": "facestats extract", "about": self.made_from, "inputs": inputs, **counts}
        write = _WRITERS.get(self.out.suffix.lower())
        if write is None:
            write_part(_as_table(self.answers), self.out, meta)
        else:
            write_atomically(self.about, json.dumps(meta))
            try:
                write(_as_table(self.answers), self.out)
            except ValueError as error:  # larger than Excel can hold
                raise ConfigError(str(error)) from error

    def _resume(self) -> None:
        """Read what exists, cut an incomplete line off its end, and open both files to append."""
        size = self.answers.stat().st_size if self.answers.exists() else 0
        if size and not self.notes.exists():
            for _ in self._read_answers():  # raises an error that fits, if the file holds something else
                pass
            msg = f"it is unknown what the answers in {self.answers} were made from ({self.notes} is missing); {ANOTHER}"
            raise StateError(msg)
        if size:
            before, *fingerprints = _read_notes(self.notes)
            self._compare(before)
            self._fingerprints = dict(fingerprints)
            for name, failed in self._read_answers(cut=True):
                self._has_replaced |= name in self.failed
                self.failed[name] = failed
        else:
            write_atomically(self.notes, [json.dumps(self.made_from).encode() + b"\n"])
        self._files = [path.open("a", encoding="utf-8") for path in (self.answers, self.notes)]

    def _read_answers(self, *, cut: bool = False) -> Iterator[tuple[str, bool]]:
        """Read the ids of the answers, and whether each is an error; `cut` removes an incomplete answer at the end."""
        size = 0
        with self.answers.open("rb") as opened:
            for number, line in enumerate(opened, start=1):
                zeros = not line.strip(b"\0")  # a power cut leaves them
                ours = line[: len(_LINE_START)] == _LINE_START[: len(line)]
                if (ours or zeros) and not line.endswith(b"\n"):
                    break
                try:
                    row = json.loads(line)
                    yield row["id"], row["error"] is not None
                except (ValueError, KeyError, TypeError) as error:
                    msg = (
                        f"{self.answers}, line {number} is not an answer of facestats ({error!r}); {ANOTHER}"
                    )
                    raise FileExistsError(msg) from error
                size += len(line)
        if cut:
            os.truncate(self.answers, size)

    def _compare(self, before: Any) -> None:
        """Raise StateError if the answers were made from something else than they would be now."""
        changes = ["the file does not say"]
        if isinstance(before, dict):
            old, new = before.get("source"), self.made_from["source"]
            changes = [] if old == new else [f"inputs: {old} -> {new}"]
            kept = ({k: v for k, v in a.items() if k != "source"} for a in (before, self.made_from))
            changes += explain_change(*kept)
        if changes:
            rest = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            msg = f"{self.out} was begun with other inputs or settings ({'; '.join(changes[:3])}{rest}); {ANOTHER}"
            raise StateError(msg)

    def _drop_replaced(self) -> None:
        """Keep the last answer of each id."""
        last = {name: number for number, (name, _) in enumerate(self._read_answers())}
        with self.answers.open("rb") as opened:
            kept = (line for number, line in enumerate(opened) if last[json.loads(line)["id"]] == number)
            write_atomically(self.answers, kept)


def fingerprint_input(item: Item) -> str:
    """Hash what an input holds: bytes and texts by their content, a file by its path, size and time of change."""
    held: Any = None
    if isinstance(item.image, bytes):
        held = hashlib.sha256(item.image).hexdigest()
    elif isinstance(item.image, PictureError):
        held = str(item.image)
    elif item.image is not None:
        path = picture_path(str(item.image))
        held = [os.path.abspath(path)]  # noqa: PTH100 - does not follow links: two links may stand for two inputs
        try:
            info = path.stat()
            held += [info.st_size, info.st_mtime_ns]
        except (OSError, ValueError):  # there is no such file, or no file can have this name
            held += [None]
    return hashlib.blake2b(json.dumps([held, item.text]).encode(), digest_size=12).hexdigest()


def _digest(fingerprints: Mapping[str, str]) -> str:
    return hashlib.blake2b(json.dumps(sorted(fingerprints.items())).encode(), digest_size=12).hexdigest()


def _read_notes(file: Path) -> list[Any]:
    """Read what the answers are made from (None if that cannot be read), then pairs of id and fingerprint."""
    found: list[Any] = []
    size = 0
    with file.open("rb") as opened:
        for line in opened:
            try:
                found.append(json.loads(line if line.endswith(b"\n") else b""))
            except ValueError:
                break
            size += len(line)
    os.truncate(file, size)
    return found or [None]


def _as_table(answers: Path) -> pl.DataFrame:
    """Turn lines of JSON into a table with a row per answer and a column per attribute."""
    rows: list[dict[str, Any]] = []
    with answers.open(encoding="utf-8") as opened:
        for line in opened:
            answer = json.loads(line)
            row = {KEY: answer["id"], "error": answer["error"], **answer["attributes"]}
            if answer.get("warning"):  # of toy models
                row["warning"] = answer["warning"]
            for title, label in answer.get("scores", {}).items():
                row |= {f"{title}_{part}": label[part] for part in ("score", "source", "conflict")}
            rows.append(row)
    return pl.DataFrame(rows or {KEY: [], "error": []}, infer_schema_length=None)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
