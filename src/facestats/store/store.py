"""Tables on disk: read them, write them, and build them in chunks so that only missing rows are computed.

The fingerprint of a row is a hash of its input row and of the stage (function, code version, settings, model). A row
is done if a file holds it with its present fingerprint. This one rule makes runs resumable and incremental, and lets
`status` report what is stale, and why, without computing any row.
"""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import polars as pl

from facestats.core.progress import progress_bar, say
from facestats.core.tables import FINGERPRINT, TABLES, Rows, check_table
from facestats.store.calls import call_key
from facestats.store.fingerprint import (
    as_recorded,
    describe_stage,
    describe_write,
    explain_change,
    mark_failures,
    package_versions,
    translate_stage,
)
from facestats.store.lost_crops import remake_crops
from facestats.store.orphan_crops import MAKER, mark_for_sweeping, sweep_crops
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
from facestats.store.reading import StoredTables
from facestats.store.result_files import read_result, remembered_file, write_result
from facestats.store.status import Expected, stale_inputs, table_digests, table_states
from facestats.store.table_files import StoreError, damage_error, find_table, write_part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from facestats.store.table_files import TableFiles

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Store(StoredTables):
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
        table names any more are deleted once the table is complete. Rows in damaged files are computed again. Crops that are
        missing or empty are made again from the stored matrices.

        Raises
        ------
        TableError
            If `rows` is empty or repeats a key, or `func` does not return one row per input row, or its result
            violates the contract of the table.
        StoreError
            If another run builds this table, a file cannot be written, or the table that a lazy `rows` was opened
            from is damaged; finished chunks are kept.

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
        if table.reads and isinstance(rows, pl.LazyFrame):  # a frame was checked when it was read
            self._check_sound(table.reads[0])
        params = {
            k: self._restore_fingerprints(k, v) if isinstance(v, pl.DataFrame) else v
            for k, v in params.items()
        }
        stage, source = describe_stage(func, params), source_folder(rows, table)
        crops_dir = Path(params.get("crops_dir", self.crops_dir))
        with files.lock():
            stored = files.metadata().get("stage", stage)
            stage = as_recorded(stage, stored, name)
            meta = {"stage": stage, "packages": package_versions(), "source": source, "whole": whole}
            if table.files is not None and crops_dir.resolve() != self.crops_dir.resolve():
                meta["crops_dir"] = str(crops_dir.resolve())
            wanted = wanted_rows(rows, table, stage, whole=whole)
            remake = partial(remake_crops, rows=rows, func=func, params=params, crops_dir=crops_dir)
            given = {"whole": whole, "retry_failed": retry_failed}
            plan = make_plan(files, wanted, table, **given, remake=remake if name == MAKER else None)
            changes = explain_change(translate_stage(stored, name), translate_stage(stage, name))
            if table.files is not None and (plan.todo.height or plan.removed):
                mark_for_sweeping(files)
            if plan.todo.height:
                with progress_bar(name, plan.todo.height, show=progress):
                    for marks, chunk in take_chunks(rows, plan.todo, key=table.key, size=chunk_size):
                        out = call_stage(partial(func, **params), chunk, table)
                        write_chunk(files, mark_failures(out.join(marks, on=table.key, how="left")), meta)
            assemble(files, plan, table, meta=meta)
            files.record_checksums()
            self._sweep(files, crops_dir)
        summary = plan.summary(name, restart="; ".join(changes[:3]))
        say(summary, show=progress)
        logger.info("%s", summary)
        return self.scan(name) if isinstance(rows, pl.LazyFrame) else self.read(name, fingerprint=True)

    def status(self, expected: Mapping[str, Expected] | None = None, *, verify: bool = False) -> pl.DataFrame:
        """List every table with its number of rows and failures, whether it is stale or damaged, and why.

        Parameters
        ----------
        expected
            How each table would be made now, as ``facestats status`` knows it:
            ``facestats.surfaces.notebooks.expected_tables.expected_tables(cfg)``. Without it, the stored tables are
            compared with each other alone: changed settings, models, captions and human labels are not seen.
        verify
            Whether to read every file and to compare its checksum. Without it, only files that are missing or cut
            are seen.

        Returns
        -------
        One row per table: `table` (String), `rows` and `failed` (Int64), `state` (String: fresh, stale,
        damaged or missing), `why` (String, empty if fresh) and `run_from` (String, number of the first notebook to run, such as 03, so that
        the table and all that it is made from are fresh; null if fresh).

        Examples
        --------
        >>> import facestats as fs
        >>> states = fs.testing.example_project().store.status()
        >>> states.select("table", "rows", "state").row(0)
        ('faces', 12, 'fresh')
        """
        return table_states(self.tables_dir, expected or {}, crops_dir=self.crops_dir, verify=verify)

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

    def remember(self, name: str, func: Callable[..., T], *args: Any, **params: Any) -> T:
        """Call ``func(*args, **params)``, or read its last result again if all that it depends on is the same.

        Use it for results that need more than a second, and that are no table of the collection. They lie beside the
        tables and may be deleted at any time.

        Parameters
        ----------
        name
            Name of the result; only the last one of each name is kept.
        func
            A function whose result depends on its arguments alone, such as a function of this package. Its version
            counts as in :meth:`build`.
        args, params
            Its arguments: numbers, texts, lists, settings, frames, or models that have a `name`. The rows of a frame
            count, their order and their types. Folders (``Path``) and `workers` do not count.

        Returns
        -------
        The result: a frame, an array, a plain value, a list or dictionary, or a dataclass of this package.

        Raises
        ------
        ValueError
            If `name` is empty, or too long for the name of a file.
        TypeError
            If an argument cannot be recorded, or the result cannot be kept.
        StoreError
            If the result cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> import facestats as fs
        >>> project = fs.testing.example_project()
        >>> given = {"n_clusters": [2, 3], "n_resamples": 5}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = fs.Store(folder)
        ...     first = store.remember("stability", fs.clusters.stability, project.embeddings, **given)
        ...     again = store.remember("stability", fs.clusters.stability, project.embeddings, **given)
        stability: unchanged, read again
        >>> again.equals(first)
        True
        """
        path, key = remembered_file(self.tables_dir, name), call_key(func, args, params)
        if (found := read_result(path, key=key)) is not None:
            say(f"{name}: unchanged, read again")
            return found[0]
        result = func(*args, **params)
        write_result(path, result, key=key)
        return result

    def drop(self, name: str, *, progress: bool = True) -> None:
        """Delete table `name` because it cannot be made any more, so that no later stage reads what was true before.

        Parameters
        ----------
        name
            Name of the table, such as ``ratings``. Nothing happens if it does not exist.
        progress
            Whether to say so in a line.

        Raises
        ------
        StoreError
            If another run builds this table.

        Examples
        --------
        >>> import tempfile
        >>> import facestats as fs
        >>> project = fs.testing.example_project()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = fs.Store(folder)
        ...     _ = store.write("clusters", project.clusters)
        ...     store.drop("clusters")
        ...     bool(store.provenance("clusters"))
        clusters: deleted, because it cannot be made any more
        False
        """
        files = self._files(name)
        if not files.parts() and not files.chunks():
            return
        with files.lock():
            files.remove()
        say(f"{name}: deleted, because it cannot be made any more", show=progress)

    def _check_sound(self, name: str) -> None:
        """Raise StoreError if a file of table `name` is not what was written."""
        if damage := self._files(name).damage():
            raise damage_error(name, damage)

    def _sweep(self, files: TableFiles, crops_dir: Path) -> None:
        """Delete crops that no table names, unless the folder lies elsewhere, where other stores may use it."""
        if crops_dir.resolve().is_relative_to(self.data_dir.resolve()):
            sweep_crops(files, crops_dir)

    def _restore_fingerprints(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        """Add the stored fingerprints to rows of table `name` that were read without, where no value was changed."""
        if FINGERPRINT in frame.columns or name not in TABLES or not self._files(name).parts():
            return frame
        try:
            return restore_fingerprints(frame, self.scan(name), find_table(name).key)
        except StoreError:  # the stored table is damaged: the rows stand for themselves
            return frame
