"""Read the tables of a collection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.tables import FINGERPRINT, TableError, check_table
from facestats.store.table_files import READ_ERRORS, TableFiles, damage_error, find_table

if TYPE_CHECKING:
    import os


class StoredTables:
    """The tables of one collection, to be read; :class:`facestats.Store` also makes them.

    Parameters
    ----------
    data_dir
        Folder of the collection.
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
        StoreError
            If a file of the table is cut or missing; the message names it, and the command that mends it.

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
        if damage := files.damage(checksums=False):
            raise damage_error(name, damage)
        frame = pl.scan_parquet(files.parts(), glob=False)
        if table.earlier_columns:
            names = frame.collect_schema().names()
            frame = frame.rename({old: new for old, new in table.earlier_columns.items() if old in names})
        return frame

    def read(self, name: str, *, columns: list[str] | None = None, fingerprint: bool = False) -> pl.DataFrame:
        """Read a table, or some of its columns; a whole table is checked against its checksums and its contract.

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
        if columns is None and (damage := self._files(name).damage()):
            raise damage_error(name, damage)
        try:
            if columns is not None:
                return frame.select(columns).collect()
            kept = frame if fingerprint else frame.drop(FINGERPRINT, strict=False)
            return check_table(kept.collect(), find_table(name))
        except pl.exceptions.ColumnNotFoundError as error:
            msg = f"table {name!r} lacks a column that was asked for ({error}); it has {frame.collect_schema().names()}"
            raise TableError(msg) from error
        except READ_ERRORS as error:
            raise damage_error(name, {self._files(name).final: str(error).splitlines()[0]}) from error

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

    def _files(self, name: str) -> TableFiles:
        find_table(name)
        return TableFiles(self.tables_dir, name)
