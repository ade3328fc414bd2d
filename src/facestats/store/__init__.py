"""Tables on disk: read, write, build in chunks, and report which are stale."""

from facestats.store.locks import LockedError, StoreError
from facestats.store.store import Store

__all__ = ["LockedError", "Store", "StoreError"]
