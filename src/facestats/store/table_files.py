"""The files of one table: written atomically, indexed by key, merged without loading all of them.

A finished table is ``<name>.parquet``: one file, or a folder of parts if the table is long. The rows of an unfinished
run are chunks below ``.facestats/<name>/``, with their checksums in their names. A damaged part or chunk is ignored,
and its rows are computed again.
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
from facestats.store.checksums import WHOLE, file_digest, find_damage, read_versions, write_versions
from facestats.store.fingerprint import mark_failures
from facestats.store.locks import StoreError, exclusive_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART_ROWS = 20_000
META = "facestats"
# on some damaged files Polars raises PanicException, which is not a PolarsError
READ_ERRORS = (
    OSError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    json.JSONDecodeError,
    KeyError,
)


def find_table(name: str) -> Table:
    """Return the contract of table `name`; raise ValueError with the valid names if there is none."""
    if name not in TABLES:
        msg = f"no table is called {name!r}; the tables are {', '.join(TABLES)}"
        raise ValueError(msg)
    return TABLES[name]


@dataclass(frozen=True)
class TableFiles:
    """The paths of table `name` below `folder`, and those of its unfinished next version."""

    folder: Path
    name: str

    @property
    def final(self) -> Path:
        """Path of the finished table: a file, or a folder of parts."""
        return self.folder / f"{self.name}.parquet"

    @property
    def work(self) -> Path:
        """Working folder: chunks, lock, and the next version of the table."""
        return self.folder / ".facestats" / self.name

    @property
    def ready(self) -> Path:
        """Path of a complete next version, which is about to replace `final`."""
        return self.work / "ready.parquet"

    def current(self) -> Path | None:
        """Return the path to read from, or None if there is no table yet."""
        # between the two renames of `publish` only `ready` exists; `final` is looked up twice, because both renames
        # may have finished in between
        for path in (self.final, self.ready, self.final, self.earlier):
            if path is not None and path.exists():
                return path
        return None

    @property
    def earlier(self) -> Path | None:
        """Path of the table under its name in an earlier release, None if it had no other name."""
        name = TABLES[self.name].earlier_name if self.name in TABLES else None
        return None if name is None else self.folder / f"{name}.parquet"

    def parts(self) -> list[Path]:
        """Return the Parquet files of the finished table, in the order of their keys."""
        path = self.current()
        if path is None:
            return []
        return sorted(path.glob("*.parquet")) if path.is_dir() else [path]

    def chunks(self) -> list[Path]:
        """Return the finished chunks of an unfinished run."""
        return sorted(self.work.glob("chunk-*.parquet"))

    def sound_chunks(self) -> list[Path]:
        """Return the finished chunks that are what was written; earlier releases wrote no checksum into the name."""
        named = {path: path.stem.split("-")[2:] for path in self.chunks()}
        return [path for path, given in named.items() if not given or file_digest(path).startswith(given[0])]

    def sound_parts(self) -> list[Path]:
        """Return the files of the finished table that are what was written."""
        damage = self.damage()
        return [path for path in self.parts() if path not in damage]

    def damage(self, *, checksums: bool = True) -> dict[Path, str]:
        """Say of each damaged file what is wrong; without `checksums` only what can be seen without reading it."""
        found: dict[Path, str] = {}
        for _ in range(2):  # a run may replace the table meanwhile: only what is found twice is damage
            try:
                parts = self._named(self.parts())
                versions = [] if self.current() == self.earlier else read_versions(self.manifest)
                found = find_damage(parts, versions, checksums=checksums)
            except FileNotFoundError:
                continue
            if not found:
                break
        return found

    @property
    def manifest(self) -> Path:
        """Path of the checksums of the finished table."""
        return self.work / "checksums.json"

    def record_checksums(self) -> None:
        """Write the checksums of a table of an earlier release, which has none."""
        if self.final.exists() and not read_versions(self.manifest):
            digests = {name: file_digest(path) for name, path in self._named(self.parts()).items()}
            self._write_manifest([digests])

    def metadata(self) -> dict[str, Any]:
        """Return the provenance in the footer, empty if it cannot be read."""
        for part in self.parts():
            try:
                return json.loads(pl.read_parquet_metadata(part)[META])
            except READ_ERRORS:
                continue
        return {}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock this table while the block runs; raise LockedError at once if another run holds the lock."""
        work = self._make_folder(self.work)
        with exclusive_lock(work / "lock", work / "owner", what=f"table {self.name!r} is being built"):
            self._recover()
            yield

    def publish(self, fresh: Path, digests: dict[str, str] | None = None) -> None:
        """Replace the table with the complete version `fresh`, a file or a folder in `work`.

        The first rename commits the new version. `digests` are the checksums that are known already.
        """
        paths = self._named(sorted(fresh.glob("*.parquet")) if fresh.is_dir() else [fresh], folder=fresh)
        new = {name: (digests or {}).get(name) or file_digest(path) for name, path in paths.items()}
        self._write_manifest([*read_versions(self.manifest), new])
        fresh.replace(self.ready)
        self._replace_final()
        self._write_manifest([new])

    def known_digests(self) -> dict[str, str]:
        """Return the checksums of the present version; empty if a kill left the manifest with several versions."""
        versions = read_versions(self.manifest)
        return dict(versions[0]) if len(versions) == 1 else {}

    def _named(self, parts: list[Path], *, folder: Path | None = None) -> dict[str, Path]:
        """Name files as the manifest does."""
        folder = folder or self.current()
        return {WHOLE if path == folder else path.name: path for path in parts}

    def _write_manifest(self, versions: list[Any]) -> None:
        try:
            write_versions(self.manifest, versions)
        except OSError as error:
            raise cannot_write(self.manifest, error) from error

    def remove(self) -> None:
        """Delete the table, also under its earlier name, and what an unfinished run left."""
        self.remove_chunks()
        for path in (self.ready, self.final, self.earlier):
            if path is not None:
                _remove(path)
        self.manifest.unlink(missing_ok=True)
        sync_folder(self.folder)

    def remove_chunks(self) -> None:
        """Delete the chunks of a finished run."""
        for path in self.chunks():
            path.unlink()

    def _replace_final(self) -> None:
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
            _remove(self.folder / ".facestats" / self.earlier.stem)
        sync_folder(self.folder)

    def _recover(self) -> None:
        """Complete the replacement that a killed run began, and delete its temporary files."""
        if self.ready.exists():
            self._replace_final()
        for path in (
            *self.work.glob("*.tmp"),
            *self.work.glob("next.parquet"),
            *self.work.glob("old.parquet"),
        ):
            _remove(path)

    def _make_folder(self, folder: Path) -> Path:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{folder} cannot be created ({error.strerror}). Check data_dir and its permissions."
            raise StoreError(msg) from error
        return folder


def write_part(df: pl.DataFrame, path: Path, meta: dict[str, Any]) -> None:
    """Write a Parquet file atomically, with `meta` in its footer, and check that it can be read."""
    try:
        with replacing(path, temporary=path.with_name(f"{path.name}.tmp")) as tmp:
            df.write_parquet(tmp, compression="zstd", metadata={META: json.dumps(meta)})
            if pl.scan_parquet(tmp, glob=False).select(pl.len()).collect().item() != df.height:
                msg = f"{tmp} was written with {df.height} rows, but others were read; the disk may be damaged. Run again."
                raise StoreError(msg)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: BaseException) -> StoreError:
    """Make the error that a file of a table cannot be written; it says what to do."""
    free = shutil.disk_usage(path.parent).free / 1e6 if path.parent.exists() else 0
    return StoreError(
        f"{path} could not be written ({error}; {free:.0f} MB free). Stored tables are unchanged: free some space"
        " or correct the permissions, and run the same again; finished chunks are kept."
    )


def damage_error(name: str, damage: dict[Path, str]) -> StoreError:
    """Make the error that table `name` is damaged; it names the files, and the command that makes their rows again."""
    listed = ", ".join(f"{path} ({what})" for path, what in list(damage.items())[:3])
    listed += f" and {len(damage) - 3} more" if len(damage) > 3 else ""
    made_by = find_table(name).made_by
    number = made_by.rpartition("/")[2][:2]
    return StoreError(
        f"table {name!r} is damaged: {listed}. To make the damaged rows again, type: facestats run --from {number} (or"
        f" run {made_by}); all else is kept."
    )


def index_parts(paths: list[Path], key: str) -> pl.DataFrame:
    """Index rows by key: columns `key`, `fingerprint`, `shown`, `failed`, `file` (position in `paths`).

    `fingerprint` is the hash of what the row was made from. `shown` is the fingerprint that the next stage sees; that
    of a failed row is another one, so that a repair is noticed. Both are null in rows that were written without
    fingerprints. A file that cannot be read has no rows here, so that they are computed again.
    """
    numbers: dict[str, Any] = {FINGERPRINT: pl.UInt64, "shown": pl.UInt64}
    frames = [pl.DataFrame(schema={key: pl.String, **numbers, "failed": pl.Boolean, "file": pl.Int32})]
    for number, path in enumerate(paths):
        try:
            names = pl.scan_parquet(path, glob=False).collect_schema().names()
            frame = pl.read_parquet(
                path, columns=[c for c in (key, FINGERPRINT, "status") if c in names], glob=False
            )
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

    One part at a time is in memory. Parts whose rows all stay are linked, not copied.
    """
    key = index.columns[0]
    rows = index.sort(key)
    fresh = files.work / "next.parquet"
    if rows.height <= PART_ROWS:
        write_part(_collect_rows(rows, paths), fresh, meta)
        files.publish(fresh)
        return
    fresh.mkdir(parents=True)
    known, digests = files.known_digests(), {}
    for number, slice_ in enumerate(_slices(rows, files, paths)):
        target = fresh / f"part-{number:05d}.parquet"
        sources = slice_["file"].unique()
        only = paths[sources[0]] if sources.len() == 1 else None
        if only is not None and only.parent == files.final and _count_rows(only) == slice_.height:
            _link(only, target)
            if only.name in known:
                digests[target.name] = known[only.name]
        else:
            write_part(_collect_rows(slice_, paths), target, meta)
    files.publish(fresh, digests)


def _slices(rows: pl.DataFrame, files: TableFiles, paths: list[Path]) -> Iterator[pl.DataFrame]:
    """Split `rows` at the borders of the old parts, so that a few new rows change only a few parts."""
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


def _collect_rows(rows: pl.DataFrame, paths: list[Path]) -> pl.DataFrame:
    key = rows.columns[0]
    frames = []
    for (number,), wanted in rows.group_by("file"):
        part = pl.read_parquet(paths[number], glob=False)
        frames.append(part.join(wanted.select(key), on=key, how="semi"))
    return pl.concat(frames).sort(key)


def _count_rows(path: Path) -> int:
    return pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()


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
