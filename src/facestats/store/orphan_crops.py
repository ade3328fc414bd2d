"""Delete crops that no table names: of removed pictures, of other crop sizes, of runs that were killed.

Crops are deleted only when the tables that named them are replaced, so that every stored table keeps its crops. A
mark in the working folder of the table says that there may be such crops. After a kill the mark remains, and the next
run deletes the crops.
"""

from __future__ import annotations

import os
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import TABLES
from facestats.pictures.crops import CROP_FILE
from facestats.store.locks import LockedError
from facestats.store.table_files import READ_ERRORS, TableFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

MAKER = "faces"  # the table whose stage writes crops
_BATCH = 50_000  # file names in memory at once, besides those of the tables


def mark_for_sweeping(files: TableFiles) -> None:
    """Record, before a table that names crops changes, that crops may become unused."""
    _mark(files).touch()


def sweep_crops(files: TableFiles, crops_dir: Path) -> None:
    """If `files` is marked, delete the crops below `crops_dir` that no table and no waiting chunk names.

    The caller holds the lock of `files`. While another process writes crops, or a table lacks the column that names them,
    the mark is kept for the next run.
    """
    if not _mark(files).exists():
        return
    maker = TableFiles(files.folder, MAKER)
    # a damaged table does not say which crops it names
    with suppress(LockedError, *READ_ERRORS), nullcontext() if files.name == MAKER else maker.lock():
        named = _named_files(files.folder)
        if named is None:
            return
        for batch in _crop_batches(crops_dir):
            for name in batch.lazy().join(named, on="file", how="anti").collect()["file"]:
                _remove(crops_dir, name)
        _mark(files).unlink(missing_ok=True)


def _mark(files: TableFiles) -> Path:
    return files.work / "unswept"


def _named_files(folder: Path) -> pl.LazyFrame | None:
    """Return all files that tables and their waiting chunks name; None if a table does not tell."""
    frames = [pl.LazyFrame(schema={"file": pl.String})]
    for table in TABLES.values():
        files = TableFiles(folder, table.name)
        if table.files is not None and (paths := [*files.parts(), *files.chunks()]):
            if any(table.files not in pl.scan_parquet(path, glob=False).collect_schema() for path in paths):
                return None
            frames.append(pl.scan_parquet(paths, glob=False).select(file=table.files).drop_nulls())
    return pl.concat(frames)


def _crop_batches(folder: Path) -> Iterator[pl.DataFrame]:
    found: list[str] = []
    for place, _, names in os.walk(folder):
        inside = Path(place).relative_to(folder).as_posix()
        found += [
            name if inside == "." else f"{inside}/{name}" for name in names if CROP_FILE.fullmatch(name)
        ]
        if len(found) > _BATCH:
            yield pl.DataFrame({"file": found})
            found = []
    yield pl.DataFrame({"file": found}, schema={"file": pl.String})


def _remove(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # a folder that is not empty is kept
        for parent in Path(name).parents[:-1]:
            (folder / parent).rmdir()
