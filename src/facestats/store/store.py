"""Tables on disk: read them, write them, and build them in chunks so that only missing rows are computed.

The fingerprint of a row is a hash of its input row and of the stage (function, code version, settings, model). A row
is done if a file holds it with its present fingerprint. This one rule makes runs resumable and incremental, and lets
`status` report what is stale, and why, without computing any row.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from facestats.core.progress import progress_bar, say
from facestats.core.tables import FINGERPRINT, TABLES, Rows, TableError, check_table
from facestats.store.fingerprint import (
    as_recorded,
    describe_stage,
    describe_write,
    explain_change,
    mark_failures,
    package_versions,
    translate_stage,
)
from facestats.store.orphan_crops import mark_for_sweeping, sweep_crops
from facestats.store.plan import (
    assemble,
    call_stage,
    make_plan,
    restore_fingerprints,
    source_folder,
    take_chunks,
    wanted_rows,
    write_chunk,
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
        Folder of the collection: `raw/` (pictures), `preprocessed/` (crops), `processed/` (tables). It is created
        when something is first written.

    Examples
    --------
    >>> import facestats as fs
    >>> store = fs.testing.example_project().store
    >>> store.read("faces").height
    12
    """

    def __init__(self, data_dir: str | os.PathLike[str]) -> None:
        self.data_dir = Path(data_dir)

    def __repr__(self) -> str:
        return f"Store({str(self.data_dir)!r})"

    @property
    def crops_dir(self) -> Path:
        """Folder of the aligned crops."""
        return self.data_dir / "preprocessed"

    @property
    def tables_dir(self) -> Path:
        """Folder of the tables."""
        return self.data_dir / "processed"

    def scan(self, name: str) -> pl.LazyFrame:
        """Open a table lazily: a query reads only the columns and rows that it needs.

        Parameters
        ----------
        name
            Name of the table, such as ``faces``.

        Returns
        -------
        The table, with the column `fingerprint` (UInt64) by which :meth:`build` recognises its rows.

        Raises
        ------
        FileNotFoundError
            If the table does not exist yet; the message names the notebook that makes it.

        Examples
        --------
        >>> import facestats as fs
        >>> faces = fs.testing.example_project().store.scan("faces")
        >>> faces.filter(status="ok").select("image_id").head(2).collect()["image_id"].to_list()
        ['face_000.png', 'face_001.png']
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
        """Read a table, or some of its columns; a whole table is checked against its contract.

        Parameters
        ----------
        name
            Name of the table, such as ``faces``.
        columns
            Columns to read; by default all.
        fingerprint
            Whether to include the column `fingerprint` (UInt64). :meth:`build` also accepts frames without it.

        Returns
        -------
        The table, sorted by key.

        Raises
        ------
        FileNotFoundError
            If the table does not exist yet; the message names the notebook that makes it.
        TableError
            If a column does not exist, or the table violates its contract.
        StoreError
            If a file of the table is damaged.

        Examples
        --------
        >>> import facestats as fs
        >>> store = fs.testing.example_project().store
        >>> store.read("clusters", columns=["image_id", "cluster"]).columns
        ['image_id', 'cluster']
        """
        frame = self.scan(name)
        try:
            if columns is not None:
                return frame.select(columns).collect()
            kept = frame if fingerprint else frame.drop(FINGERPRINT, strict=False)
            return check_table(kept.collect(), find_table(name))
        except pl.exceptions.ColumnNotFoundError as error:
            msg = f"table {name!r} lacks a column that was asked for ({error}); it has {frame.collect_schema().names()}"
            raise TableError(msg) from error
        except READ_ERRORS as error:
            msg = (
                f"{self._files(name).final} is damaged ({error}). Delete it and run {find_table(name).made_by};"
                " the tables that it is made from are kept."
            )
            raise StoreError(msg) from error

    def write(
        self, name: str, df: pl.DataFrame, *, func: Callable[..., Any] | None = None, **settings: Any
    ) -> Path:
        """Check `df` and write it as table `name`, with the stage that made it in the footer.

        Use it for tables whose rows are not pictures; :meth:`build` computes only what is missing. :meth:`status`
        reports the table as stale when the stage, its settings, or the tables that `name` is made from change.

        Parameters
        ----------
        name
            Name of the table, such as ``composites``.
        df
            Rows of the table.
        func
            The stage function that made `df`. Its name and version are recorded, so that a later version makes the
            table stale.
        settings
            The settings that `func` was called with; they are recorded as text.

        Returns
        -------
        Path of the table.

        Raises
        ------
        TableError
            If `df` violates the contract of the table.
        StoreError
            If another run writes this table, or it cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> import facestats as fs
        >>> project = fs.testing.example_project()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = fs.Store(folder).write("clusters", project.clusters, func=fs.map_faces, n_clusters=3)
        ...     print(path.name)
        clusters.parquet
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
        """Make table `name` by calling ``func(chunk, **params)`` on chunks of `rows`; compute only missing rows.

        Parameters
        ----------
        name
            Name of the table, such as ``faces``.
        rows
            Input rows with a unique key. A lazy frame (``store.scan(...)``) is read in chunks. If there is a column
            `fingerprint`, as in every stored table, it represents the content of the row.
        func
            Stage function from a frame to a frame with one row per input row.
        chunk_size
            Rows per call, which is also the most that is lost if the run is killed. None: all rows in one call, for
            functions of the whole table (clusters, master); they are called again when any row changes.
        retry_failed
            Whether to compute rows with a failure status again. After a retry succeeds, later stages recompute that
            picture.
        progress
            Whether to show a progress bar and a closing line.
        engine
            Where to compute: ``local`` is the only one.
        params
            Keyword arguments of `func`. Folders (``Path``) and `workers` can change without making the table stale.

        Returns
        -------
        The table with its column `fingerprint`, sorted by key: lazy if `rows` is lazy, else a frame. Crops that no
        table names any more are deleted once the table is complete.

        Raises
        ------
        TableError
            If `rows` is empty or repeats a key, or `func` does not return one row per input row, or its result
            violates the contract of the table.
        StoreError
            If another run builds this table, or a file cannot be written; finished chunks are kept.

        Examples
        --------
        >>> import tempfile
        >>> import facestats as fs
        >>> project = fs.testing.example_project()
        >>> settings = {"encoder": project.encoder, "attributes": project.attributes, "progress": False}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = fs.Store(folder)
        ...     labels = store.build("attributes", project.embeddings, fs.label_attributes, **settings)
        >>> labels.height, "fingerprint" in labels.columns
        (12, True)
        """
        if engine != "local":
            msg = f"engine {engine!r} is not known; valid is 'local'"
            raise ValueError(msg)
        files, table, whole = self._files(name), find_table(name), chunk_size is None
        if table.reads and isinstance(rows, pl.DataFrame):
            rows = self._restore_fingerprints(table.reads[0], rows)
        params = {
            k: self._restore_fingerprints(k, v) if isinstance(v, pl.DataFrame) else v
            for k, v in params.items()
        }
        stage, source = describe_stage(func, params), source_folder(rows, table)
        with files.lock():
            stored = files.metadata().get("stage", stage)
            stage = as_recorded(stage, stored, name)
            meta = {"stage": stage, "packages": package_versions(), "source": source, "whole": whole}
            wanted = wanted_rows(rows, table, stage, whole=whole)
            plan = make_plan(files, wanted, table, retry_failed=retry_failed)
            changes = explain_change(translate_stage(stored, name), translate_stage(stage, name))
            if table.files is not None and (plan.todo.height or plan.removed):
                mark_for_sweeping(files)
            if plan.todo.height:
                with progress_bar(name, plan.todo.height, show=progress):
                    for marks, chunk in take_chunks(rows, plan.todo, key=table.key, size=chunk_size):
                        out = call_stage(partial(func, **params), chunk, table)
                        write_chunk(files, mark_failures(out.join(marks, on=table.key, how="left")), meta)
            assemble(files, plan, table, meta=meta)
            self._sweep(files, Path(params.get("crops_dir", self.crops_dir)))
        summary = plan.summary(name, restart="; ".join(changes[:3]))
        say(summary, show=progress)
        logger.info("%s", summary)
        return self.scan(name) if isinstance(rows, pl.LazyFrame) else self.read(name, fingerprint=True)

    def status(self, expected: Mapping[str, Expected] | None = None) -> pl.DataFrame:
        """List every table with its number of rows and failures, whether it is stale, and why.

        Parameters
        ----------
        expected
            How each table would be made now: ``facestats.surfaces.notebooks.expected_tables.expected_tables(cfg)``.
            Without it, changed settings, models, captions and human labels are not seen.

        Returns
        -------
        One row per table: `table` (String), `rows` and `failed` (Int64), `state` (String: fresh, stale or missing)
        and `why` (String, empty if fresh).

        Examples
        --------
        >>> import facestats as fs
        >>> states = fs.testing.example_project().store.status()
        >>> states.select("table", "rows", "state").row(0)
        ('faces', 12, 'fresh')
        """
        return table_states(self.tables_dir, expected or {})

    def check_inputs(self, name: str, **rows: pl.DataFrame) -> None:
        """Raise an error if a table that `name` is made from is stale.

        Parameters
        ----------
        name
            Name of the table to be made.
        rows
            Present input rows of tables that are not made from a stored table: ``text_labels=captions``.

        Raises
        ------
        StoreError
            If there is one; the message names each stale table, what changed, and the notebook to run.

        Examples
        --------
        >>> import facestats as fs
        >>> project = fs.testing.example_project()
        >>> project.store.check_inputs("master", text_labels=project.captions)
        >>> project.store.check_inputs("master", text_labels=project.captions.head(5))
        Traceback (most recent call last):
        facestats.store.locks.StoreError: 'master' cannot be made from stale tables: text_labels (input: 7 removed; ...
        """
        find_table(name)
        if stale := stale_inputs(self.tables_dir, name, rows):
            msg = f"{name!r} cannot be made from stale tables: {'; '.join(stale)}."
            raise StoreError(msg)

    def provenance(self, name: str) -> dict[str, Any]:
        """Return what made a table: function, settings, models and package versions.

        Parameters
        ----------
        name
            Name of the table, such as ``faces``.

        Returns
        -------
        The footer of the table: `stage` (function, version, params), `packages`, ...; empty if there is no table.

        Examples
        --------
        >>> import facestats as fs
        >>> stage = fs.testing.example_project().store.provenance("embeddings")["stage"]
        >>> stage["function"], stage["params"]["encoder"]
        ('facestats.embeddings.embed_faces', 'fake-clip@1')
        """
        find_table(name)
        return self._files(name).metadata()

    def _sweep(self, files: TableFiles, crops_dir: Path) -> None:
        """Delete crops that no table names, unless the folder lies elsewhere, where other stores may use it."""
        if crops_dir.resolve().is_relative_to(self.data_dir.resolve()):
            sweep_crops(files, crops_dir)

    def _restore_fingerprints(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Add the stored fingerprints to rows of table `name` that were read without, where no value was changed."""
        if FINGERPRINT in frame.columns or name not in TABLES or not self._files(name).parts():
            return frame
        return restore_fingerprints(frame, self.scan(name), find_table(name).key)

    def _files(self, name: str) -> TableFiles:
        find_table(name)
        return TableFiles(self.tables_dir, name)
