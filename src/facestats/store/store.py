"""Tables on disk: read, write, and build chunk by chunk so that only what is missing is computed.

A row is done when some file holds it with the fingerprint that it should have: a hash of its input row
and of the stage (function, code version, settings, model). From this one rule follow resuming,
incremental runs, and `status`, which can say what is stale and why without computing anything.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from facestats.core.progress import progress_bar, say
from facestats.core.tables import FINGERPRINT, TABLES, Rows, TableError, check_table, take_rows
from facestats.store.fingerprint import (
    describe_stage,
    describe_write,
    explain_change,
    mark_failures,
    package_versions,
    read_earlier,
)
from facestats.store.orphan_crops import mark_for_sweeping, sweep_crops
from facestats.store.plan import (
    assemble,
    call_stage,
    keep_chunk,
    make_plan,
    source_folder,
    take_chunks,
    wanted_rows,
)
from facestats.store.status import Expected, stale_inputs, table_digests, table_states
from facestats.store.table_files import READ_ERRORS, StoreError, TableFiles, find_table, write_part

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)


class Store:
    """The tables and crops of one collection, below one folder.

    Parameters
    ----------
    data_dir
        Folder of the collection: `raw/` (pictures), `preprocessed/` (crops), `processed/` (tables). Made
        when something is first written.
    """

    def __init__(self, data_dir: str | os.PathLike[str]) -> None:
        self.data_dir = Path(data_dir)

    def __repr__(self) -> str:
        return f"Store({str(self.data_dir)!r})"

    @property
    def crops_dir(self) -> Path:
        """Where aligned crops lie."""
        return self.data_dir / "preprocessed"

    @property
    def tables_dir(self) -> Path:
        """Where tables lie."""
        return self.data_dir / "processed"

    def scan(self, name: str) -> pl.LazyFrame:
        """Open a table lazily: only the columns and rows that the query needs are read.

        Parameters
        ----------
        name
            Name of the table.

        Returns
        -------
        The table, with the column `fingerprint` by which :meth:`build` knows its rows again.

        Raises
        ------
        FileNotFoundError
            If the table is not there yet; names the notebook that makes it.
        """
        files, table = self._files(name), find_table(name)
        if not files.parts():
            msg = f"{files.final} does not exist yet. Run {table.made_by} first."
            raise FileNotFoundError(msg)
        frame = pl.scan_parquet(files.parts())
        if table.earlier_columns:
            names = frame.collect_schema().names()
            frame = frame.rename({old: new for old, new in table.earlier_columns.items() if old in names})
        return frame

    def read(self, name: str, *, columns: list[str] | None = None, fingerprint: bool = False) -> pl.DataFrame:
        """Read a table, or only some of its columns, and check that it keeps its contract.

        Parameters
        ----------
        name
            Name of the table.
        columns
            Columns to read; all by default.
        fingerprint
            Whether to read the column `fingerprint` too. Frames without it can be given to :meth:`build` as well.

        Returns
        -------
        The table, sorted by key.

        Raises
        ------
        FileNotFoundError
            If the table is not there yet; names the notebook that makes it.
        TableError
            If a column is missing, or the table breaks its contract.
        StoreError
            If its file is damaged.
        """
        frame = self.scan(name)
        try:
            if columns is not None:
                return frame.select(columns).collect()
            kept = frame if fingerprint else frame.drop(FINGERPRINT, strict=False)
            return check_table(kept.collect(), find_table(name))
        except pl.exceptions.ColumnNotFoundError as error:
            msg = f"table {name!r} has no such column ({error}); it has {frame.collect_schema().names()}"
            raise TableError(msg) from error
        except READ_ERRORS as error:
            msg = (
                f"{self._files(name).final} is damaged ({error}). Delete it and run {find_table(name).made_by};"
                " what it depends on stays."
            )
            raise StoreError(msg) from error

    def write(
        self, name: str, df: pl.DataFrame, *, func: Callable[..., Any] | None = None, **settings: Any
    ) -> Path:
        """Check `df` and write it as table `name` in one step, with the stage that made it in the footer.

        For tables whose rows are no pictures; :meth:`build` also knows when there is nothing to do. :meth:`status`
        sees when the stage, its settings, or the tables that `name` is made from change afterwards.

        Parameters
        ----------
        name
            Name of the table.
        df
            Its rows.
        func
            The stage function that made them: its name and version are recorded, so that a later version makes the
            table stale.
        settings
            What it was called with.

        Returns
        -------
        Path of the table.
        """
        files, table = self._files(name), find_table(name)
        check_table(df, table)
        meta = {
            "stage": describe_write(func, settings),
            "packages": package_versions(),
            "rows": df.height,
            "reads": table_digests(self.tables_dir, table.reads),
        }
        with files.lock():
            fresh = files.work / "next.parquet"
            write_part(df, fresh, meta)
            files.publish(fresh)
        return files.final

    def build(
        self,
        name: str,
        rows: Rows,
        func: Callable[..., pl.DataFrame],
        *,
        chunk_size: int | None = 1000,
        retry_failed: bool = False,
        progress: bool = True,
        engine: Literal["local"] = "local",
        **params: Any,
    ) -> Any:
        """Make table `name` by calling ``func(chunk, **params)`` on chunks of `rows`; compute only what is missing.

        Parameters
        ----------
        rows
            Input rows with a unique key. A lazy frame (``store.scan(...)``) is read chunk by chunk. A
            `fingerprint` column, as every stored table has one, stands for the row's content.
        func
            Stage function: frame in, frame out, one row per input row.
        chunk_size
            Rows per call, and at most lost in a kill. None: all rows in one call, for functions of the whole
            table (clusters, master), which are called again when any row changes.
        retry_failed
            Whether to compute rows again whose status is a failure. The next stage computes those again whose
            status changed.
        params
            Keywords of `func`. Folders (``Path``) and `workers` may change without making the table stale.

        Returns
        -------
        The table with its column `fingerprint`, sorted by key: a frame if `rows` is one, lazy if `rows` is lazy.
        Crops that no table names any more are removed once it is complete.

        Raises
        ------
        TableError
            If `rows` has none, or `func` breaks the table's contract or does not return one row per input row.
        StoreError
            If another run builds this table, or the disk refuses; finished chunks are kept.
        """
        if engine != "local":
            msg = f"engine {engine!r} is not known; valid is 'local'"
            raise ValueError(msg)
        files, table, whole = self._files(name), find_table(name), chunk_size is None
        if table.reads and isinstance(rows, pl.DataFrame):
            rows = self._recognise(table.reads[0], rows)
        params = {k: self._recognise(k, v) if isinstance(v, pl.DataFrame) else v for k, v in params.items()}
        stage, source = describe_stage(func, params), source_folder(rows, table)
        with files.lock():
            stored = files.metadata().get("stage", stage)
            if read_earlier(stored, name) == stage:
                stage = (
                    stored  # as an earlier release recorded it: the marks of its rows hold this description
                )
            meta = {"stage": stage, "packages": package_versions(), "source": source, "whole": whole}
            wanted = wanted_rows(rows, table, stage, whole=whole)
            plan = make_plan(files, wanted, table, retry_failed=retry_failed)
            changes = explain_change(read_earlier(stored, name), read_earlier(stage, name))
            if table.files is not None and (plan.todo.height or plan.removed):
                mark_for_sweeping(files)
            if plan.todo.height:
                with progress_bar(name, plan.todo.height, show=progress):
                    for marks, chunk in take_chunks(rows, plan.todo, key=table.key, size=chunk_size):
                        out = call_stage(partial(func, **params), chunk, table)
                        keep_chunk(files, mark_failures(out.join(marks, on=table.key, how="left")), meta)
            assemble(files, plan, table, meta=meta)
            self._sweep(files, Path(params.get("crops_dir", self.crops_dir)))
        summary = plan.summary(name, restart="; ".join(changes[:3]))
        say(summary, show=progress)
        logger.info("%s", summary)
        return self.scan(name) if isinstance(rows, pl.LazyFrame) else self.read(name, fingerprint=True)

    def status(self, expected: Mapping[str, Expected] | None = None) -> pl.DataFrame:
        """List every table: its rows, failures, whether it is fresh, and if not, why.

        Parameters
        ----------
        expected
            How tables would be made now, so that changed settings, models and pictures are seen too.

        Returns
        -------
        `table`, `rows`, `failed`, `state` (fresh, stale, missing) and `why` (String, empty if fresh).
        """
        return table_states(self.tables_dir, expected or {})

    def check_inputs(self, name: str, **rows: pl.DataFrame) -> None:
        """Refuse to go on where a table that `name` is made from is older than the tables before it.

        Parameters
        ----------
        name
            The table to be made.
        rows
            Present input rows of tables that no other table gives: ``text_labels=captions``.

        Raises
        ------
        StoreError
            Naming each stale table, what changed, and the notebook to run.
        """
        find_table(name)
        if stale := stale_inputs(self.tables_dir, name, rows):
            msg = f"{name!r} cannot be made from stale tables: {'; '.join(stale)}."
            raise StoreError(msg)

    def provenance(self, name: str) -> dict[str, Any]:
        """What made table `name`: function, settings, models, package versions; empty if there is none."""
        find_table(name)
        return self._files(name).metadata()

    def _sweep(self, files: TableFiles, crops_dir: Path) -> None:
        """Remove crops that no table names any more; a folder elsewhere may belong to other stores too."""
        if crops_dir.resolve().is_relative_to(self.data_dir.resolve()):
            sweep_crops(files, crops_dir)

    def _recognise(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Give rows of table `name` that were read without fingerprints theirs back, if no value was changed."""
        if FINGERPRINT in frame.columns or name not in TABLES or not self._files(name).parts():
            return frame
        stored, key = self.scan(name), find_table(name).key
        if {*frame.columns, FINGERPRINT} != set(stored.collect_schema().names()):
            return frame
        found = take_rows(stored, frame[key])
        found = frame.select(key).join(found, on=key, how="left", maintain_order="left")
        return found if found.select(frame.columns).equals(frame) else frame

    def _files(self, name: str) -> TableFiles:
        find_table(name)
        return TableFiles(self.tables_dir, name)
