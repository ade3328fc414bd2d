"""Plan and carry out a build: find the missing rows, compute them in chunks, merge them into the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.progress import advance, position
from facestats.core.tables import FINGERPRINT, Rows, TableError, check_table, take_rows
from facestats.store.checksums import file_digest
from facestats.store.fingerprint import frame_digest, mix_hashes, row_hashes, stage_hash
from facestats.store.table_files import (
    READ_ERRORS,
    StoreError,
    TableFiles,
    index_parts,
    merge_parts,
    write_part,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from facestats.core.tables import Table

HASHED_AT_ONCE = 5_000  # rows of a lazy frame that are in memory while they are hashed
READ_AT_ONCE = 20_000  # rows of a lazy frame that are read together for several chunks


@dataclass(frozen=True)
class Plan:
    """What a build has to do.

    Parameters
    ----------
    wanted
        Key and fingerprint of every row of the new table.
    todo
        Those of `wanted` that have to be computed.
    old_rows
        Number of rows in the present table.
    new
        Number of rows in `todo` whose key the present table does not hold.
    removed
        Number of rows in the present table whose key is not in `wanted`.
    resumed
        Number of rows that an interrupted run has computed.
    retried
        Number of rows in `todo` that are computed again because they failed.
    parts
        The files of the present table that are not damaged.
    """

    wanted: pl.DataFrame
    todo: pl.DataFrame
    old_rows: int
    new: int
    removed: int
    resumed: int
    retried: int = 0
    parts: tuple[Path, ...] = ()

    def summary(self, name: str, *, restart: str) -> str:
        """Summarise in one line what was computed and why; `restart` names the changes of the stage."""
        n, total = self.todo.height, self.wanted.height
        if not n and not self.removed and not self.resumed:
            return f"{name}: {total} rows, unchanged"
        kinds = {"new": self.new, "changed": n - self.new - self.retried, "failed before": self.retried}
        why = ", ".join(f"{k} {word}" for word, k in kinds.items() if k)
        parts = [f"{n} of {total} rows computed" + (f" ({why})" if why and self.old_rows else "")]
        parts += [f"{self.resumed} taken over from an interrupted run"] * (self.resumed > 0)
        parts += [f"{self.removed} removed"] * (self.removed > 0)
        return f"{name}: " + ", ".join(parts) + (f"; {restart}" if restart and n else "")


def restore_fingerprints(frame: pl.DataFrame, stored: pl.LazyFrame, key: str) -> pl.DataFrame:
    """Add the stored fingerprints to rows that were read without them; a row with another value gets its own."""
    try:
        if {*frame.columns, FINGERPRINT} != set(stored.collect_schema().names()):
            return frame
        found = take_rows(stored, frame[key])
        found = frame.select(key).join(found, on=key, how="left", maintain_order="left")
    except READ_ERRORS:  # the stored table is damaged: the rows stand for themselves
        return frame
    known = found.select(frame.columns)
    if known.equals(frame):
        return found
    now = row_hashes(frame)
    unchanged = pl.Series(now == row_hashes(known)) & found[FINGERPRINT].is_not_null()
    marks = pl.when(unchanged).then(found[FINGERPRINT]).otherwise(pl.Series(now, dtype=pl.UInt64))
    return frame.with_columns(marks.alias(FINGERPRINT))


def wanted_rows(rows: Rows, table: Table, stage: Mapping[str, Any], *, whole: bool) -> pl.DataFrame:
    """Return key and fingerprint of every row that the table should have, sorted by key."""
    marked = _key_hashes(rows, table).sort(table.key)
    if marked.is_empty():
        msg = (
            f"there are no rows to make table {table.name!r} from: the input is empty. Look at the filter or the"
            " folder that it comes from. A table that is already stored stays unchanged."
        )
        raise TableError(msg)
    same = marked[table.key] == marked[table.key].shift()  # repeated keys are neighbours now
    if same.any():
        twice = marked.filter(same)[table.key][0]
        msg = f"the input rows repeat {table.key} {twice!r}; pass one row per {table.key}"
        raise TableError(msg)
    salt = stage_hash(stage)
    if whole:
        salt ^= int(frame_digest(marked if isinstance(rows, pl.LazyFrame) else rows), 16)
    marks = mix_hashes(marked[FINGERPRINT].to_numpy(), salt)
    return marked.select(table.key, pl.Series(FINGERPRINT, marks, dtype=pl.UInt64))


def _key_hashes(rows: Rows, table: Table) -> pl.DataFrame:
    """Return key and hash of every input row; a lazy frame without stored hashes is read in batches."""
    names = rows.collect_schema().names() if isinstance(rows, pl.LazyFrame) else rows.columns
    if table.key not in names:
        msg = f"the input rows have no {table.key!r} column; they have {names}"
        raise TableError(msg)
    if isinstance(rows, pl.DataFrame):
        return pl.DataFrame({table.key: rows[table.key], FINGERPRINT: row_hashes(rows)})
    if FINGERPRINT in names:
        return rows.select(table.key, FINGERPRINT).collect()
    batches = rows.collect_batches(chunk_size=HASHED_AT_ONCE)
    hashed = [pl.DataFrame({table.key: b[table.key], FINGERPRINT: row_hashes(b)}) for b in batches]
    found = pl.concat([pl.DataFrame(schema={table.key: pl.String, FINGERPRINT: pl.UInt64}), *hashed])
    # when Ctrl-C arrives while Polars reads, it may drop the exception and end the batches early
    if found.height != (expected := rows.select(pl.len()).collect().item()):
        msg = f"only {found.height} of {expected} input rows of table {table.name!r} were read: the run was interrupted. Run again."
        raise StoreError(msg)
    return found


def make_plan(
    files: TableFiles,
    wanted: pl.DataFrame,
    table: Table,
    *,
    whole: bool,
    retry_failed: bool,
    remake: Callable[[list[Path], pl.DataFrame], list[str]] | None = None,
) -> Plan:
    """Compare the rows that the table should have with its present rows and the chunks of an interrupted run.

    What is damaged is as good as absent. A function of the `whole` table computes all rows, if it computes any.
    `remake` makes lost files again that the finished rows name, and returns the keys of rows to compute instead.
    """
    key, parts, chunks = table.key, files.sound_parts(), files.sound_chunks()
    old, waiting = index_parts(parts, key), index_parts(chunks, key)
    lost = remake([*parts, *chunks], wanted) if remake else []
    done = ~pl.col(key).is_in(lost)
    if retry_failed:
        done &= ~pl.col("failed")
    missing = _without(wanted, old.filter(done), [key, FINGERPRINT])
    todo = _without(missing, waiting.filter(done), [key, FINGERPRINT])
    if whole and todo.height:
        todo = missing = wanted
    return Plan(
        wanted,
        todo,
        old_rows=old.height,
        new=_without(todo, old, [key]).height,
        removed=_without(old, wanted, [key]).height,
        resumed=missing.height - todo.height,
        retried=0 if whole or lost else todo.height - _without(todo, old, [key, FINGERPRINT]).height,
        parts=tuple(parts),
    )


def _without(rows: pl.DataFrame, others: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """Return the rows that `others` does not hold, in their order."""
    if rows.is_empty() or others.is_empty():
        return rows
    return rows.join(others, on=on, how="anti", maintain_order="left")


def take_chunks(
    rows: Rows, todo: pl.DataFrame, *, key: str, size: int | None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield the rows of `todo` (key, fingerprint) in key order, `size` at a time, each time with their input rows."""
    step = size or todo.height
    # even one row of a stored table costs the decoding of a whole file, so read the rows of several chunks together
    batch = max(step, READ_AT_ONCE // step * step) if isinstance(rows, pl.LazyFrame) else todo.height
    for start in range(0, todo.height, batch):
        marks = todo.slice(start, batch)
        found = take_rows(rows, marks[key])
        found = marks.select(key).join(found, on=key, how="left", maintain_order="left").select(found.columns)
        for place in range(0, marks.height, step):
            yield marks.slice(place, step), found.slice(place, step)


def call_stage(func: Callable[..., pl.DataFrame], chunk: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Call a stage function on a chunk, and check its result against the contract of the table."""
    before = position()
    out = check_table(func(chunk), table)
    name = getattr(func, "func", func).__name__
    if out.height != chunk.height or not out.join(chunk, on=table.key, how="anti").is_empty():
        msg = (
            f"{name} must return one row per input row: got {out.height} rows for {chunk.height}. Keep rows that"
            " failed, and mark them in a column such as status."
        )
        raise TableError(msg)
    advance(chunk.height - (position() - before))
    return out.drop(FINGERPRINT, strict=False).sort(table.key)


def write_chunk(files: TableFiles, out: pl.DataFrame, meta: dict[str, Any]) -> None:
    """Write a finished chunk under the next free number."""
    last = files.chunks()[-1].stem if files.chunks() else "chunk-0"
    path = files.work / f"chunk-{int(last.split('-')[1]) + 1:08d}.parquet"
    write_part(out, path, meta)
    path.replace(path.with_stem(f"{path.stem}-{file_digest(path)[:16]}"))


def source_folder(rows: Rows, table: Table) -> str | None:
    """Return the folder of listed pictures, None for other rows."""
    if "path" not in rows.lazy().collect_schema().names():
        return None
    first = rows.lazy().head(1).collect()
    if first.is_empty():
        return None
    return first["path"][0].removesuffix(first[table.key][0]).rstrip("/")


def assemble(files: TableFiles, plan: Plan, table: Table, *, meta: dict[str, Any]) -> None:
    """Merge the rows to keep and the finished chunks into the next version of the table."""
    same = not plan.todo.height and not plan.removed and not plan.resumed and plan.old_rows
    if same and len(plan.parts) == len(files.parts()):
        files.remove_chunks()
        return
    paths = [*plan.parts, *files.sound_chunks()]
    done = plan.wanted.join(index_parts(paths, table.key), on=[table.key, FINGERPRINT], how="inner")
    # a failure that was tried again has two rows: the last one counts
    rows = done.sort(table.key, "file").unique(table.key, keep="last").select(table.key, "file")
    if rows.height != plan.wanted.height:
        lost = plan.wanted.height - rows.height
        msg = f"{lost} finished rows of table {files.name!r} are missing in {files.work}; run again"
        raise StoreError(msg)
    merge_parts(files, rows, paths, meta=meta)
    files.remove_chunks()
