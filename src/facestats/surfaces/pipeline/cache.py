"""A cache of JSON values in one SQLite file, shared by threads and processes; if it is lost, only time is lost."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

SCHEMA = 2
BUSY_SECONDS = 30.0  # to wait for a file that another process has locked
EVICT_TO = 0.9  # share of the limit that stays after an eviction, so that evictions are rare
MAX_TOUCHED = 1000  # number of entries whose last use is kept in memory before it is written
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}  # another process has locked the file for now
_UNUSABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
_CREATE = (
    "CREATE TABLE IF NOT EXISTS entries"
    " (key TEXT PRIMARY KEY, size INTEGER NOT NULL, used REAL NOT NULL, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS by_use ON entries (used, size)",  # eviction reads no value
    # the database itself keeps the size of all values: a sum would read the whole file at every put
    "CREATE TABLE total AS SELECT coalesce(sum(size), 0) AS size FROM entries",
    "CREATE TRIGGER added AFTER INSERT ON entries BEGIN UPDATE total SET size = size + new.size; END",
    "CREATE TRIGGER dropped AFTER DELETE ON entries BEGIN UPDATE total SET size = size - old.size; END",
    "CREATE TRIGGER resized AFTER UPDATE OF size ON entries"
    " BEGIN UPDATE total SET size = size + new.size - old.size; END",
    f"PRAGMA user_version={SCHEMA}",
)
_PUT = (
    "INSERT INTO entries (key, size, used, value) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
    " SET size = excluded.size, used = excluded.used, value = excluded.value"
)


class Cache:
    """Values by key in a SQLite file (WAL mode); beyond a size, the least recently used values are dropped.

    If the file is damaged or is not a database, it is deleted and begun again, with a warning. If the folder cannot be
    written, values are kept in memory. If another process locks the file for longer than `BUSY_SECONDS`, nothing is
    found and nothing is stored. Values are JSON and are never unpickled.

    Several processes may write one file. Versions of SQLite before 3.51.3, which many Pythons contain, can in rare
    cases damage a file in WAL mode if several connections write and checkpoint at the same moment. A cache can take
    that risk: a damaged file is begun again, and its values are computed again.

    Parameters
    ----------
    path
        The file; it and its folder are made when needed.
    max_bytes
        Limit for the size of all values, in bytes.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int = 500_000_000) -> None:
        if max_bytes < 1:
            msg = f"max_bytes must be 1 or more, got {max_bytes}"
            raise ValueError(msg)
        self.path: Path | None = Path(path)
        self.max_bytes = max_bytes
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._touched: dict[str, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"] or ":memory:", max_bytes=state["max_bytes"])  # type: ignore[misc]

    def __len__(self) -> int:
        return int(self._run(lambda db: db.execute("SELECT count(*) FROM entries").fetchone()[0]))

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return the values that exist. They count as used now; other processes see this after the next put."""
        found = self._run(lambda db: _find(db, list(dict.fromkeys(keys))))
        with self._lock:
            self._touched.update(dict.fromkeys(found, time.time()))
            if len(self._touched) > MAX_TOUCHED:
                self._store({})
        return found

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Store values that JSON can hold; beyond the limit, drop the least recently used."""
        self._store({key: json.dumps(value, allow_nan=False) for key, value in values.items()})

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None and self._touched:
                self._store({})
            self._disconnect()

    def _store(self, texts: Mapping[str, str]) -> None:
        """Write values, and the last use of those that were found."""
        now = time.time()
        rows = [(key, len(text) + len(key), now, text) for key, text in texts.items()]
        with self._lock:
            used = [(when, key) for key, when in self._touched.items()]
            self._touched.clear()
            self._run(lambda db: _put(db, rows, used, self.max_bytes))

    def _run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do `work`; begin a damaged file again and repeat it; if the file stays locked, do it on an empty database."""
        with self._lock:
            for last in (False, True):
                try:
                    return work(self._open())
                except sqlite3.OperationalError as error:
                    if _code(error) in _BUSY:
                        log.warning(
                            "the cache %s is locked by another process (%s); it is not used this time",
                            self.path,
                            error,
                        )
                        with contextlib.closing(_connect(":memory:")) as empty:
                            return work(empty)
                    if last or _code(error) in _UNUSABLE:
                        self._to_memory(error)
                        continue
                    self._begin_again(error)
                except (sqlite3.DatabaseError, ValueError) as error:
                    self._begin_again(error)
            return work(self._open())

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            place = ":memory:"
            if self.path is not None:
                with contextlib.suppress(OSError):
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                place = str(self.path)
            self._connection = _connect(place)
            self._close = weakref.finalize(self, self._connection.close)  # also of a cache that nobody closes
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._close()
        self._connection = None

    def _begin_again(self, error: Exception) -> None:
        self._disconnect()
        if self.path is None:
            return
        log.warning("the cache %s cannot be used (%s); it is deleted and begun again", self.path, error)
        try:
            for end in ("", "-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)
        except OSError as problem:
            self._to_memory(problem)

    def _to_memory(self, error: Exception) -> None:
        self._disconnect()
        if self.path is not None:
            log.warning(
                "the cache %s cannot be written (%s); answers are kept in memory only", self.path, error
            )
        self.path = None


def _connect(place: str) -> sqlite3.Connection:
    """Open a database and make its tables if they are missing; wait while other processes do the same."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        db = sqlite3.connect(place, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
        try:
            _prepare(db)
        except sqlite3.OperationalError as error:
            db.close()
            # if another process changes to WAL mode at the same time, SQLite fails at once despite the timeout
            if _code(error) not in _BUSY or time.monotonic() > end:
                raise
            time.sleep(0.02)
        except BaseException:
            db.close()
            raise
        else:
            return db


def _prepare(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    if _schema(db) == SCHEMA:
        return
    with _transaction(db):
        if (found := _schema(db)) == 0:
            for statement in _CREATE:
                db.execute(statement)
        elif found != SCHEMA:
            msg = f"it was written by another version of facestats (schema {found}, this one has {SCHEMA})"
            raise sqlite3.DatabaseError(msg)


def _schema(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary code of an error, without the extended part in the higher bytes; 0 if Python raised the error."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _find(db: sqlite3.Connection, keys: list[str]) -> dict[str, Any]:
    found = {}
    for key in keys:
        row = db.execute("SELECT value FROM entries WHERE key = ?", (key,)).fetchone()
        if row is not None:
            found[key] = json.loads(row[0])
    return found


def _put(
    db: sqlite3.Connection,
    rows: list[tuple[str, int, float, str]],
    used: list[tuple[float, str]],
    max_bytes: int,
) -> None:
    with _transaction(db):
        db.executemany("UPDATE entries SET used = ? WHERE key = ?", used)
        db.executemany(_PUT, rows)
        surplus = db.execute("SELECT size FROM total").fetchone()[0] - max_bytes
        if surplus <= 0:
            return
        surplus, doomed = surplus + (1 - EVICT_TO) * max_bytes, []
        for key, size in db.execute("SELECT key, size FROM entries ORDER BY used, size, key"):
            if surplus <= 0:
                break
            doomed.append((key,))
            surplus -= size
        db.executemany("DELETE FROM entries WHERE key = ?", doomed)
