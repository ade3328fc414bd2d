"""The files of one table: written atomically, indexed by key, merged without holding them in memory.

A finished table is ``<name>.parquet``, one file, or a folder of parts when it is long. Rows on their way
are whole chunks below ``.facestats/<name>/``; a chunk that does not read back whole does not exist.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.atomic_write import replacing, sync_folder
from facestats.core.tables import FINGERPRINT, TABLES, Table
from facestats.store.fingerprint import mark_failures
from facestats.store.locks import StoreError, exclusive_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART_ROWS = 20_000
META = "facestats"
# Polars raises PanicException, which is no Exception, on some damaged files
READ_ERRORS = (
    OSError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    json.JSONDecodeError,
    KeyError,
)


def find_table(name: str) -> Table:
    """Return the contract of table `name`; raises ValueError with the valid names."""
    if name not in TABLES:
        msg = f"no table is called {name!r}; the tables are {', '.join(TABLES)}"
        raise ValueError(msg)
    return TABLES[name]


@dataclass(frozen=True)
class TableFiles:
    """Where table `name` lies below `folder`, and what is under way beside it."""

    folder: Path
    name: str

    @property
    def final(self) -> Path:
        """The finished table: a file, or a folder of parts."""
        return self.folder / f"{self.name}.parquet"

    @property
    def work(self) -> Path:
        """Chunks, lock and the next version of the table."""
        return self.folder / ".facestats" / self.name

    @property
    def ready(self) -> Path:
        """A complete next version on its way to `final`."""
        return self.work / "ready.parquet"

    def current(self) -> Path | None:
        """The path to read from, or None if there is no table yet."""
        # between the two renames of `publish` the table is the complete one that waits
        for path in (self.final, self.ready, self.final, self.earlier):
            if path is not None and path.exists():
                return path
        return None

    @property
    def earlier(self) -> Path | None:
        """Where the table lies under its name of an earlier release, if it had another."""
        name = TABLES[self.name].earlier_name if self.name in TABLES else None
        return None if name is None else self.folder / f"{name}.parquet"

    def parts(self) -> list[Path]:
        """The Parquet files of the finished table, in the order of their keys."""
        path = self.current()
        if path is None:
            return []
        return sorted(path.glob("*.parquet")) if path.is_dir() else [path]

    def chunks(self) -> list[Path]:
        """The finished chunks of an unfinished run."""
        return sorted(self.work.glob("chunk-*.parquet"))

    def metadata(self) -> dict[str, Any]:
        """The provenance in the footer, empty where it cannot be read."""
        parts = self.parts()
        try:
            return json.loads(pl.read_parquet_metadata(parts[0])[META]) if parts else {}
        except READ_ERRORS:
            return {}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold this table alone; raises LockedError at once if another run holds it."""
        work = self._made(self.work)
        with exclusive_lock(work / "lock", work / "owner", what=f"table {self.name!r} is being built"):
            self._recover()
            yield

    def publish(self, fresh: Path) -> None:
        """Put the complete version `fresh` (a file or a folder in `work`) in place of the table."""
        fresh.replace(self.ready)
        self._finish()

    def clear(self) -> None:
        """Remove the chunks of a finished run."""
        for path in self.chunks():
            path.unlink()

    def _finish(self) -> None:
        if self.final.is_file() and self.ready.is_file():
            self.ready.replace(self.final)
        else:
            old = self.work / "old.parquet"
            _remove(old)
            if self.final.exists():
                self.final.replace(old)
            self.ready.replace(self.final)
            _remove(old)
        if self.earlier is not None:
            _remove(self.earlier)
        sync_folder(self.folder)

    def _recover(self) -> None:
        """Complete or sweep what a killed run left."""
        if self.ready.exists():
            self._finish()
        for path in (
            *self.work.glob("*.tmp"),
            *self.work.glob("next.parquet"),
            *self.work.glob("old.parquet"),
        ):
            _remove(path)

    def _made(self, folder: Path) -> Path:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{folder} cannot be made ({error.strerror}). Check data_dir and its permissions."
            raise StoreError(msg) from error
        return folder


def write_part(df: pl.DataFrame, path: Path, meta: dict[str, Any]) -> None:
    """Write a Parquet file so that `path` holds the old content or the new one, never half of it."""
    try:
        with replacing(path, temporary=path.with_name(f"{path.name}.tmp")) as tmp:
            df.write_parquet(tmp, compression="zstd", metadata={META: json.dumps(meta)})
            if pl.scan_parquet(tmp).select(pl.len()).collect().item() != df.height:
                msg = f"{tmp} does not read back with {df.height} rows; is the disk sound? Run again."
                raise StoreError(msg)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        free = shutil.disk_usage(path.parent).free / 1e6 if path.parent.exists() else 0
        msg = (
            f"{path} could not be written ({error}; {free:.0f} MB free). Nothing was harmed: free some space"
            " or mend the permissions and run the same again; finished chunks are kept."
        )
        raise StoreError(msg) from error


def index_parts(paths: list[Path], key: str) -> pl.DataFrame:
    """Index rows by key: columns `key`, `fingerprint`, `shown`, `failed`, `file` (position in `paths`).

    `fingerprint` says what the row was made from, `shown` what the next stage sees of it: another number where the
    row failed. Rows that were written without fingerprints have null. A file that cannot be read has no rows: they
    are computed again.
    """
    numbers: dict[str, Any] = {FINGERPRINT: pl.UInt64, "shown": pl.UInt64}
    frames = [pl.DataFrame(schema={key: pl.String, **numbers, "failed": pl.Boolean, "file": pl.Int32})]
    for number, path in enumerate(paths):
        try:
            names = pl.read_parquet_schema(path)
            frame = pl.read_parquet(path, columns=[c for c in (key, FINGERPRINT, "status") if c in names])
            status = pl.col("status").cast(pl.String) if "status" in names else pl.lit("ok")
            mark = pl.col(FINGERPRINT) if FINGERPRINT in names else pl.lit(None, pl.UInt64).alias(FINGERPRINT)
            failed = ~status.fill_null("ok").str.starts_with("ok")
            marked = mark_failures(frame.with_columns(mark, shown=mark, failed=failed))
            frames.append(marked.select(key, *numbers, "failed", file=pl.lit(number, pl.Int32)))
        except READ_ERRORS:
            continue
    return pl.concat(frames)


def merge_parts(files: TableFiles, index: pl.DataFrame, paths: list[Path], *, meta: dict[str, Any]) -> None:
    """Write the rows of `index` (key, file) from `paths`, in key order, as the next version of the table.

    Memory holds one part at a time. Parts whose rows all stay are linked, not copied.
    """
    key = index.columns[0]
    rows = index.sort(key)
    fresh = files.work / "next.parquet"
    if rows.height <= PART_ROWS:
        write_part(_gather(rows, paths), fresh, meta)
        files.publish(fresh)
        return
    fresh.mkdir(parents=True)
    for number, slice_ in enumerate(_slices(rows, files, paths)):
        target = fresh / f"part-{number:05d}.parquet"
        sources = slice_["file"].unique()
        only = paths[sources[0]] if sources.len() == 1 else None
        if only is not None and only.parent == files.final and _rows(only) == slice_.height:
            _link(only, target)
        else:
            write_part(_gather(slice_, paths), target, meta)
    files.publish(fresh)


def _slices(rows: pl.DataFrame, files: TableFiles, paths: list[Path]) -> Iterator[pl.DataFrame]:
    """Cut `rows` into parts along the old parts, so that a few new rows touch a few parts only."""
    key = rows.columns[0]
    ends = [
        rows.filter(pl.col("file") == i)[key].max() for i, p in enumerate(paths) if p.parent == files.final
    ]
    cuts = [
        int(rows[key].search_sorted(str(end), side="right"))
        for end in sorted(e for e in ends if e is not None)
    ][:-1]
    for start, stop in zip([0, *cuts], [*cuts, rows.height], strict=True):
        while stop - start > 2 * PART_ROWS:
            yield rows.slice(start, PART_ROWS)
            start += PART_ROWS  # noqa: PLW2901
        if stop > start:
            yield rows.slice(start, stop - start)


def _gather(rows: pl.DataFrame, paths: list[Path]) -> pl.DataFrame:
    key = rows.columns[0]
    frames = []
    for (number,), wanted in rows.group_by("file"):
        part = pl.read_parquet(paths[number])
        frames.append(part.join(wanted.select(key), on=key, how="semi"))
    return pl.concat(frames).sort(key)


def _rows(path: Path) -> int:
    return pl.scan_parquet(path).select(pl.len()).collect().item()


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
