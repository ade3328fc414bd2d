"""Tables on disk: read, write, build chunk by chunk, and say what is stale."""

from facestats.store.locks import LockedError, StoreError
from facestats.store.store import Store

__all__ = ["LockedError", "Store", "StoreError"]
