"""What a build has to do: which rows are missing, in which chunks, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.progress import advance, position
from facestats.core.tables import FINGERPRINT, Rows, TableError, check_table, take_rows
from facestats.store.fingerprint import frame_digest, mix_hashes, row_hashes, stage_hash
from facestats.store.table_files import StoreError, TableFiles, index_parts, merge_parts, write_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from facestats.core.tables import Table

HASHED_AT_ONCE = 5_000  # rows of a lazy frame in memory while they are hashed
READ_AT_ONCE = 20_000  # and while they wait for their chunk


@dataclass(frozen=True)
class Plan:
    """`wanted` rows (key, fingerprint), of which `todo` are not done yet, and counts for the closing line."""

    wanted: pl.DataFrame
    todo: pl.DataFrame
    old_rows: int
    new: int
    removed: int
    resumed: int
    again: int = 0

    def summary(self, name: str, *, restart: str) -> str:
        """Say in one line what was computed and why."""
        n, total = self.todo.height, self.wanted.height
        if not n and not self.removed and not self.resumed:
            return f"{name}: {total} rows, unchanged"
        kinds = {"new": self.new, "changed": n - self.new - self.again, "failed before": self.again}
        why = ", ".join(f"{k} {word}" for word, k in kinds.items() if k)
        parts = [f"{n} of {total} rows computed" + (f" ({why})" if why and self.old_rows else "")]
        parts += [f"{self.resumed} taken over from an interrupted run"] * (self.resumed > 0)
        parts += [f"{self.removed} removed"] * (self.removed > 0)
        return f"{name}: " + ", ".join(parts) + (f"; {restart}" if restart and n else "")


def wanted_rows(rows: Rows, table: Table, stage: Mapping[str, Any], *, whole: bool) -> pl.DataFrame:
    """Key and fingerprint of every row that the table should have, sorted by key."""
    marked = _marks(rows, table).sort(table.key)
    if marked.is_empty():
        msg = (
            f"there are no rows to make table {table.name!r} from: the input is empty. Look at the filter or the"
            " folder that it comes from. A table that is there already stays as it is."
        )
        raise TableError(msg)
    same = marked[table.key] == marked[table.key].shift()  # neighbours, now that they are in order
    if same.any():
        twice = marked.filter(same)[table.key][0]
        msg = f"the input rows repeat {table.key} {twice!r}; a row per picture is needed"
        raise TableError(msg)
    salt = stage_hash(stage)
    if whole:
        salt ^= int(frame_digest(marked if isinstance(rows, pl.LazyFrame) else rows), 16)
    marks = mix_hashes(marked[FINGERPRINT].to_numpy(), salt)
    return marked.select(table.key, pl.Series(FINGERPRINT, marks, dtype=pl.UInt64))


def _marks(rows: Rows, table: Table) -> pl.DataFrame:
    """Key and hash of every input row; a lazy frame without stored hashes is read in batches."""
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
    return (
        pl.concat(hashed) if hashed else pl.DataFrame(schema={table.key: pl.String, FINGERPRINT: pl.UInt64})
    )


def make_plan(files: TableFiles, wanted: pl.DataFrame, table: Table, *, retry_failed: bool) -> Plan:
    """Compare the rows that should be there with the table and with the chunks of an interrupted run."""
    key = table.key
    old = index_parts(files.parts(), key)
    waiting = index_parts(files.chunks(), key)
    counts = ~pl.col("failed") if retry_failed else pl.lit(value=True)
    todo = _without(wanted, old.filter(counts), [key, FINGERPRINT])
    rest = _without(todo, waiting.filter(counts), [key, FINGERPRINT])
    todo, resumed = rest, todo.height - rest.height
    return Plan(
        wanted,
        todo,
        old_rows=old.height,
        new=_without(todo, old, [key]).height,
        removed=_without(old, wanted, [key]).height,
        resumed=resumed,
        again=todo.height - _without(todo, old, [key, FINGERPRINT]).height,
    )


def _without(rows: pl.DataFrame, others: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """Rows that `others` does not hold, in their order; a first run need not look anything up."""
    if rows.is_empty() or others.is_empty():
        return rows
    return rows.join(others, on=on, how="anti", maintain_order="left")


def take_chunks(
    rows: Rows, todo: pl.DataFrame, *, key: str, size: int | None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Yield the rows of `todo` (key, fingerprint) in key order, `size` at a time, and the input rows they name."""
    step = size or todo.height
    # a file of a stored table is decoded whole even for one of its rows: take what several chunks need from it
    batch = max(step, READ_AT_ONCE // step * step) if isinstance(rows, pl.LazyFrame) else todo.height
    for start in range(0, todo.height, batch):
        marks = todo.slice(start, batch)
        found = take_rows(rows, marks[key])
        found = marks.select(key).join(found, on=key, how="left", maintain_order="left").select(found.columns)
        for place in range(0, marks.height, step):
            yield marks.slice(place, step), found.slice(place, step)


def call_stage(func: Callable[..., pl.DataFrame], chunk: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Call a stage function on a chunk and hold it to its contract."""
    before = position()
    out = check_table(func(chunk), table)
    name = getattr(func, "func", func).__name__
    if out.height != chunk.height or not out.join(chunk, on=table.key, how="anti").is_empty():
        msg = (
            f"{name} must return one row per input row: got {out.height} rows for {chunk.height}. Mark bad"
            " rows in a column instead of dropping them."
        )
        raise TableError(msg)
    advance(chunk.height - (position() - before))
    return out.drop(FINGERPRINT, strict=False).sort(table.key)


def keep_chunk(files: TableFiles, out: pl.DataFrame, meta: dict[str, Any]) -> None:
    """Write a finished chunk behind those that lie there."""
    last = files.chunks()[-1].stem if files.chunks() else "chunk-0"
    number = int(last.rpartition("-")[2]) + 1
    write_part(out, files.work / f"chunk-{number:08d}.parquet", meta)


def source_folder(rows: Rows, table: Table) -> str | None:
    """The folder that listed pictures come from."""
    if "path" not in rows.lazy().collect_schema().names():
        return None
    first = rows.lazy().head(1).collect()
    if first.is_empty():
        return None
    return first["path"][0].removesuffix(first[table.key][0]).rstrip("/")


def assemble(files: TableFiles, plan: Plan, table: Table, *, meta: dict[str, Any]) -> None:
    """Merge the rows that stay and the finished chunks into the next version of the table."""
    if not plan.todo.height and not plan.removed and not plan.resumed and plan.old_rows:
        files.clear()
        return
    paths = [*files.parts(), *files.chunks()]
    done = plan.wanted.join(index_parts(paths, table.key), on=[table.key, FINGERPRINT], how="inner")
    # of a row computed twice (a failure tried again) the last counts
    rows = done.sort(table.key, "file").unique(table.key, keep="last").select(table.key, "file")
    if rows.height != plan.wanted.height:
        lost = plan.wanted.height - rows.height
        msg = f"{lost} finished rows of {files.name!r} vanished from {files.work}; run again"
        raise StoreError(msg)
    merge_parts(files, rows, paths, meta=meta)
    files.clear()
