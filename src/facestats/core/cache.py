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

SCHEMA = 1
BUSY_SECONDS = 30.0
EVICT_TO = 0.9  # of the limit: eviction is rare rather than small
_TABLE = (
    "CREATE TABLE IF NOT EXISTS entries"
    " (key TEXT PRIMARY KEY, value TEXT NOT NULL, size INTEGER NOT NULL, used REAL NOT NULL) WITHOUT ROWID"
)
_INDEX = "CREATE INDEX IF NOT EXISTS by_use ON entries (used)"


class Cache:
    """Values by key in a SQLite file (WAL), the least recently used dropped beyond a size.

    A file that is damaged, or no database at all, is set aside and begun anew, with a warning; where the folder cannot
    be written, values live in memory. Nothing in here is ever unpickled.

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

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "max_bytes": self.max_bytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["path"] or ":memory:", max_bytes=state["max_bytes"])  # type: ignore[misc]

    def __len__(self) -> int:
        return int(self._run(lambda db: db.execute("SELECT count(*) FROM entries").fetchone()[0]))

    def get_many(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return the values there are; what was found counts as used now."""
        return self._run(lambda db: _find(db, list(dict.fromkeys(keys))))

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Keep values that JSON can hold; drop the least recently used beyond the limit."""
        now = time.time()
        texts = {key: json.dumps(value, allow_nan=False) for key, value in values.items()}
        rows = [(key, text, len(text) + len(key), now) for key, text in texts.items()]
        self._run(lambda db: _keep(db, rows, self.max_bytes))

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Do `work` in one transaction; on a damaged file, begin a new one and do it again."""
        with self._lock:
            for last in (False, True):
                try:
                    with _transaction(self._open()) as db:
                        return work(db)
                except sqlite3.OperationalError as error:
                    if last or "malformed" not in str(error):
                        self._to_memory(error)
                        continue
                    self._set_aside(error)
                except (sqlite3.DatabaseError, ValueError) as error:
                    self._set_aside(error)
            with _transaction(self._open()) as db:
                return work(db)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            place = ":memory:"
            if self.path is not None:
                with contextlib.suppress(OSError):
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                place = str(self.path)
            db = sqlite3.connect(place, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None)
            self._connection = db
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found not in (0, SCHEMA):
                msg = f"it was written by another version of facestats (schema {found}, here {SCHEMA})"
                raise sqlite3.DatabaseError(msg)
            db.execute(_TABLE)
            db.execute(_INDEX)
            db.execute(f"PRAGMA user_version={SCHEMA}")
        return self._connection

    def _set_aside(self, error: Exception) -> None:
        self.close()
        if self.path is None:
            return
        log.warning("the cache %s cannot be used (%s); it is begun anew", self.path, error)
        try:
            for end in ("", "-wal", "-shm"):
                Path(f"{self.path}{end}").unlink(missing_ok=True)
        except OSError as problem:
            self._to_memory(problem)

    def _to_memory(self, error: Exception) -> None:
        self.close()
        if self.path is not None:
            log.warning(
                "the cache %s cannot be written (%s); answers are kept in memory only", self.path, error
            )
        self.path = None


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
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
    now = time.time()
    db.executemany("UPDATE entries SET used = ? WHERE key = ?", [(now, key) for key in found])
    return found


def _keep(db: sqlite3.Connection, rows: list[tuple[str, str, int, float]], max_bytes: int) -> None:
    db.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", rows)
    total = db.execute("SELECT coalesce(sum(size), 0) FROM entries").fetchone()[0]
    if total <= max_bytes:
        return
    surplus, doomed = total - EVICT_TO * max_bytes, []
    for key, size in db.execute("SELECT key, size FROM entries ORDER BY used, key"):
        if surplus <= 0:
            break
        doomed.append((key,))
        surplus -= size
    db.executemany("DELETE FROM entries WHERE key = ?", doomed)
