"""A cache of JSON values in one SQLite file, shared by threads and processes; losing it costs only time."""

from __future__ import annotations

import contextlib
import json
import logging
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

SCHEMA = 2
BUSY_SECONDS = 30.0
EVICT_TO = 0.9  # of the limit: eviction is rare rather than small
TOUCHED = 1000  # entries whose use is noted in memory at most
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}  # others hold the file, which passes
_PLACE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL}
_CREATE = (
    "CREATE TABLE IF NOT EXISTS entries"
    " (key TEXT PRIMARY KEY, size INTEGER NOT NULL, used REAL NOT NULL, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS by_use ON entries (used, size)",  # eviction reads no value
    # the size of all values, kept by the database itself: to add it up would read the whole file at each put
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
    """Values by key in a SQLite file (WAL), the least recently used dropped beyond a size.

    A file that is damaged, or no database at all, is set aside and begun anew, with a warning; where the folder cannot
    be written, values live in memory. While another process holds the file for longer than `BUSY_SECONDS`, nothing is
    found and nothing kept. Nothing in here is ever unpickled.

    Several processes may write one file. SQLite before 3.51.3, which Python often brings, can in rare cases damage a
    file in WAL mode that several connections write and check-point at the same moment. A cache may take that risk: a
    file that SQLite finds damaged is begun anew, and what was in it is computed again.

    Parameters
    ----------
    path
        The file; made with its folder when needed.
    max_bytes
        Size of all values beyond which the oldest are dropped.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int = 500_000_000) -> None:
        if max_bytes < 1:
            msg = f"max_bytes is a number of bytes from 1 on, got {max_bytes}"
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
        """Return the values there are; what was found counts as used now, for others from the next put on."""
        found = self._run(lambda db: _find(db, list(dict.fromkeys(keys))))
        with self._lock:
            self._touched.update(dict.fromkeys(found, time.time()))
            if len(self._touched) > TOUCHED:
                self._keep({})
        return found

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Keep values that JSON can hold; drop the least recently used beyond the limit."""
        self._keep({key: json.dumps(value, allow_nan=False) for key, value in values.items()})

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None and self._touched:
                self._keep({})
            self._disconnect()

    def _keep(self, texts: Mapping[str, str]) -> None:
        """Write values, and when those that were found have been used."""
        now = time.time()
        rows = [(key, len(text) + len(key), now, text) for key, text in texts.items()]
        with self._lock:
            used = [(when, key) for key, when in self._touched.items()]
            self._touched.clear()
            self._run(lambda db: _put(db, rows, used, self.max_bytes))

    def _run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do `work`; on a damaged file, begin a new one and do it again; on one that is held, do it on nothing."""
        with self._lock:
            for last in (False, True):
                try:
                    return work(self._open())
                except sqlite3.OperationalError as error:
                    if _code(error) in _BUSY:
                        log.warning(
                            "the cache %s is held by another process (%s); passed by", self.path, error
                        )
                        with contextlib.closing(_connect(":memory:")) as nothing:
                            return work(nothing)
                    if last or _code(error) in _PLACE:
                        self._to_memory(error)
                        continue
                    self._set_aside(error)
                except (sqlite3.DatabaseError, ValueError) as error:
                    self._set_aside(error)
            return work(self._open())

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            place = ":memory:"
            if self.path is not None:
                with contextlib.suppress(OSError):
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                place = str(self.path)
            self._connection = _connect(place)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _set_aside(self, error: Exception) -> None:
        self._disconnect()
        if self.path is None:
            return
        log.warning("the cache %s cannot be used (%s); it is begun anew", self.path, error)
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
    """Open a database and make what is missing; wait while others do the same."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        db = sqlite3.connect(place, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
        try:
            _prepare(db)
        except sqlite3.OperationalError as error:
            db.close()
            # the change to WAL fails at once where another process is about it, whatever the timeout
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
            msg = f"it was written by another version of facestats (schema {found}, here {SCHEMA})"
            raise sqlite3.DatabaseError(msg)


def _schema(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _code(error: sqlite3.Error) -> int:
    """SQLite's number of an error, without what it says more in higher bytes; 0 where Python raised it."""
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
