"""The file that `facestats extract` writes: held by one run, continued where it ends, and only by what began it.

Beside it lie ``.NAME.lock`` and ``.NAME.notes``: what the answers were made with and from (first line), then what each
input held when it was answered. Answers on their way to a Parquet file wait in ``.NAME.jsonl``.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.atomic_write import write_atomically
from facestats.core.config import ConfigError
from facestats.core.tables import KEY
from facestats.pictures.paths import picture_path
from facestats.store.fingerprint import explain_change
from facestats.store.locks import exclusive_lock
from facestats.store.table_files import META, READ_ERRORS, write_part

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from facestats.surfaces.pipeline.answers import CharacterResult
    from facestats.surfaces.pipeline.pipeline import Item

NAMED = "what --image and --text name"
ANOTHER = "give another --out, or delete it"
_BEGIN = b'{"id": '


class StateError(ConfigError):
    """An output was begun with other inputs or settings; the text names them, and what to do."""


@contextmanager
def open_output(out: Path, about: Mapping[str, Any]) -> Iterator[Output]:
    """Hold an output alone, and continue or begin it.

    Parameters
    ----------
    out
        JSON Lines; ``.parquet`` is written when all is done.
    about
        What decides the answers, as JSON can hold it: `source`, `scores` and `recipe`.

    Raises
    ------
    StateError
        If it was begun with something else.
    LockedError
        If another run writes it.
    """
    if out.exists() and not out.is_file():
        msg = f"{out} is no regular file; name one, or leave out --out to write to standard output"
        raise ConfigError(msg)
    out = out.resolve() if out.is_symlink() else out  # one file under two names is one output
    out.parent.mkdir(parents=True, exist_ok=True)
    locks = [out.with_name(f".{out.name}.{end}") for end in ("lock", "owner")]
    with exclusive_lock(*locks, what=f"{out} is being written"):
        output = Output(out, about)
        try:
            yield output
        finally:
            output.close()


class Output:
    """An output under way; see :func:`open_output`.

    `failed` says for each id in it whether its answer is an error.
    """

    def __init__(self, out: Path, about: Mapping[str, Any]) -> None:
        self.out = out
        self.about = json.loads(json.dumps(about))
        self.lines = out.with_name(f".{out.name}.jsonl") if self._is_table else out
        self.notes = out.with_name(f".{out.name}.notes")
        self.failed: dict[str, bool] = {}
        self._marks: dict[str, str] = {}
        self._asked: dict[
            str, str
        ] = {}  # marks from before the inputs are read: what changes then is done again
        self._repeated = False
        self._files: list[Any] = []
        if not self.complete:
            self._go_on()

    @property
    def _is_table(self) -> bool:
        return self.out.suffix == ".parquet"

    @property
    def complete(self) -> bool:
        """Whether the output is a table, which is written when all is done."""
        return self._is_table and self.out.exists()

    def check_table(self, items: Iterable[Item]) -> pl.Series:
        """Compare the finished table with what would be made now, and return its errors.

        Inputs that come one after another, as those of a data set, are not looked at.
        """
        try:
            meta = json.loads(pl.read_parquet_metadata(self.out)[META])
            errors = pl.read_parquet(self.out, columns=["error"])["error"]
        except READ_ERRORS as error:
            msg = f"{self.out} is no table of facestats extract ({_first(error)}); {ANOTHER}"
            raise FileExistsError(msg) from error
        self._compare(meta.get("about"))
        if isinstance(items, list) and meta["inputs"] != _digest({i.id: mark_input(i) for i in items}):
            msg = f"{self.out} is finished, but inputs are new, changed or gone since; {ANOTHER} to make it again"
            raise StateError(msg)
        for left in (self.lines, self.notes):  # by a kill at the last moment
            left.unlink(missing_ok=True)
        return errors

    def wants(self, item: Item) -> bool:
        """Whether an input has no answer yet, or held something else when it was answered.

        Raises
        ------
        StateError
            If it has, and its name says nothing of what it holds: its answer would be lost.
        """
        mark, before = mark_input(item), self._marks.get(item.id)
        if item.id in self.failed and mark == before:
            return False
        if item.id in self.failed and before is not None and self.about["source"] == NAMED:
            msg = f"{item.id!r} was something else when it was answered in {self.out}; {ANOTHER}"
            raise StateError(msg)
        self._asked[item.id] = mark
        return True

    def add(self, results: Sequence[CharacterResult], *, scores: bool) -> None:
        """Write answers to inputs that were wanted; one counts once there is a note of it."""
        marks = {name: self._asked.pop(name, "") for name in dict.fromkeys(result.id for result in results)}
        answers = [result.to_json(scores=scores) for result in results]
        notes = [json.dumps(note) for note in marks.items()]
        for file, lines in zip(self._files, (answers, notes), strict=True):
            file.writelines(f"{line}\n" for line in lines)
            file.flush()
        self._repeated |= not marks.keys().isdisjoint(self.failed)
        self._marks |= marks
        self.failed |= {result.id: result.error is not None for result in results}

    def close(self) -> None:
        """Close what is open; the output may be continued."""
        while self._files:
            self._files.pop().close()

    def finish(self) -> None:
        """Take out answers that later ones replace, and write the table if there is to be one."""
        self.close()
        if self._repeated:
            self._drop_replaced()
        if self._is_table:
            inputs = _digest({name: self._marks[name] for name in self.failed})
            meta = {"source": "facestats extract", "about": self.about, "inputs": inputs}
            write_part(_as_table(self.lines), self.out, meta)
            self.lines.unlink()
            self.notes.unlink()

    def _go_on(self) -> None:
        """Read what is there, take half a line off its end, and open both files behind it."""
        size = self.lines.stat().st_size if self.lines.exists() else 0
        if size and not self.notes.exists():
            for _ in self._read_lines():  # a file of something else is named as such
                pass
            msg = f"nothing tells what the answers in {self.lines} were made from ({self.notes} is not there); {ANOTHER}"
            raise StateError(msg)
        if size:
            about, *marks = _read_notes(self.notes)
            self._compare(about)
            self._marks = dict(marks)
            for name, failed in self._read_lines(cut=True):
                self._repeated |= name in self.failed
                self.failed[name] = failed
        else:
            write_atomically(self.notes, [json.dumps(self.about).encode() + b"\n"])
        self._files = [path.open("a", encoding="utf-8") for path in (self.lines, self.notes)]

    def _read_lines(self, *, cut: bool = False) -> Iterator[tuple[str, bool]]:
        """Ids of the answers, and whether each failed; `cut` takes half an answer off the end of the file."""
        whole = 0
        with self.lines.open("rb") as opened:
            for number, line in enumerate(opened, start=1):
                half = line[: len(_BEGIN)] == _BEGIN[: len(line)] or not line.strip(
                    b"\0"
                )  # zeros: a power cut
                if half and not line.endswith(b"\n"):
                    break
                try:
                    row = json.loads(line)
                    yield row["id"], row["error"] is not None
                except (ValueError, KeyError, TypeError) as error:
                    msg = f"{self.lines}, line {number} is no answer of facestats ({error!r}); {ANOTHER}"
                    raise FileExistsError(msg) from error
                whole += len(line)
        if cut:
            os.truncate(self.lines, whole)

    def _compare(self, before: Any) -> None:
        """Refuse to mix answers that were made otherwise."""
        changes = ["it does not say how it was made"]
        if isinstance(before, dict):
            old, new = before.get("source"), self.about["source"]
            changes = [] if old == new else [f"inputs: {old} -> {new}"]
            kept = ({k: v for k, v in a.items() if k != "source"} for a in (before, self.about))
            changes += explain_change(*kept)
        if changes:
            rest = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
            msg = f"{self.out} was made otherwise ({'; '.join(changes[:3])}{rest}); {ANOTHER}"
            raise StateError(msg)

    def _drop_replaced(self) -> None:
        """Keep the last answer of each id."""
        last = {name: number for number, (name, _) in enumerate(self._read_lines())}
        with self.lines.open("rb") as opened:
            kept = (line for number, line in enumerate(opened) if last[json.loads(line)["id"]] == number)
            write_atomically(self.lines, kept)


def mark_input(item: Item) -> str:
    """Name what an input holds: bytes and texts by content, a file by place, size and time of change."""
    held: Any = None
    if isinstance(item.image, bytes):
        held = hashlib.sha256(item.image).hexdigest()
    elif item.image is not None:
        path = picture_path(str(item.image))
        held = [os.path.abspath(path)]  # noqa: PTH100 - no link is followed: it may be its place that matters
        try:
            info = path.stat()
            held += [info.st_size, info.st_mtime_ns]
        except (OSError, ValueError):  # it is not there, or no file can have this name
            held += [None]
    return hashlib.blake2b(json.dumps([held, item.text]).encode(), digest_size=12).hexdigest()


def _digest(marks: Mapping[str, str]) -> str:
    return hashlib.blake2b(json.dumps(sorted(marks.items())).encode(), digest_size=12).hexdigest()


def _read_notes(file: Path) -> list[Any]:
    """First what decides the answers (None where that cannot be read), then pairs of id and mark."""
    found: list[Any] = []
    whole = 0
    with file.open("rb") as opened:
        for line in opened:
            try:
                found.append(json.loads(line if line.endswith(b"\n") else b""))
            except ValueError:
                break
            whole += len(line)
    os.truncate(file, whole)
    return found or [None]


def _as_table(lines: Path) -> pl.DataFrame:
    """Turn finished lines into a table: a row per answer, a column per attribute."""
    rows: list[dict[str, Any]] = []
    with lines.open(encoding="utf-8") as opened:
        for line in opened:
            answer = json.loads(line)
            row = {KEY: answer["id"], "error": answer["error"], **answer["attributes"]}
            for title, label in answer.get("scores", {}).items():
                row |= {f"{title}_{part}": label[part] for part in ("score", "source", "conflict")}
            rows.append(row)
    return pl.DataFrame(rows or {KEY: [], "error": []}, infer_schema_length=None)


def _first(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
