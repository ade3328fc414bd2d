"""Tables on disk: read, write, build in chunks, and report which are stale.

Four functions decide what is stale, each for one purpose: `plan.make_plan` decides what a build computes,
`status.table_states` what ``facestats status`` reports, and `status.stale_inputs` what :meth:`Store.check_inputs` refuses.
How each stage would be called now is listed in ``surfaces/notebooks/expected_tables.py``, for `table_states` alone.
"""

from facestats.store.locks import LockedError, StoreError
from facestats.store.store import Store

__all__ = ["LockedError", "Store", "StoreError"]


def __dir__() -> list[str]:
    return __all__
