"""What a stage depends on, as data: its function, the version of its code, its settings, its models.

The store compares these descriptions: a table is stale when its stage would be described differently now.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.tables import FINGERPRINT, STATUSES, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PACKAGES = (
    "facestats",
    "numpy",
    "polars",
    "pillow",
    "opencv-contrib-python",
    "mediapipe",
    "torch",
    "open_clip_torch",
    "transformers",
)
# these change how fast a result comes, not what it is
SPEED_ONLY = frozenset({"workers"})
# Stages recorded by the place of their code, as they were before they had packages: (name, version) then and now.
_EARLIER_STAGES = {
    ("facestats.core.classify.classify_faces", 2): ("facestats.attributes.classify_faces", 1),
}
# Tables that `Store.write` recorded without the stage that made them: table -> (name, version) of that stage.
_EARLIER_WRITES = {
    "composites": ("facestats.composites.tabulate", 1),
    "audit": ("facestats.audit.accuracy", 2),
}


def describe_stage(func: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a stage as JSON-able data: function, code version, parameters.

    Folders (``Path``) and `SPEED_ONLY` settings do not count; a model counts by its `name`, a frame by its rows.
    """
    counted = {k: v for k, v in params.items() if k not in SPEED_ONLY and not isinstance(v, Path)}
    return {
        "function": stage_name(func),
        "version": _code_version(func),
        "params": {name: describe_value(value) for name, value in sorted(counted.items())},
    }


def describe_write(func: Callable[..., Any] | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Describe what :meth:`facestats.Store.write` writes: the stage that made it, and the settings that were named."""
    name, number = ("Store.write", 1) if func is None else (stage_name(func), _code_version(func))
    return {"function": name, "version": number, "params": {k: str(v) for k, v in settings.items()}}


def stage_name(func: Callable[..., Any]) -> str:
    """Name a stage by what its users call it; one of ours may move within its package and keeps its name."""
    parts = func.__module__.split(".")
    home = ".".join(parts[:2]) if parts[0] == "facestats" else func.__module__
    return f"{home}.{func.__qualname__}"


def read_earlier(stage: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Say how the stored description of a stage would be written today, where earlier releases wrote it otherwise."""
    was = (stage["function"], stage["version"])
    now = _EARLIER_WRITES.get(table, was) if was[0] == "Store.write" else _EARLIER_STAGES.get(was, was)
    names = {t.earlier_name: t.name for t in TABLES.values() if t.earlier_name}
    params = {names.get(name, name): value for name, value in stage["params"].items()}
    return {"function": now[0], "version": now[1], "params": dict(sorted(params.items()))}


def describe_value(value: Any) -> Any:
    """Turn a parameter into JSON-able data that changes when its meaning does."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, pl.DataFrame):
        return {"rows": value.height, "digest": frame_digest(value)}
    if hasattr(value, "model_dump"):
        return describe_value(value.model_dump())
    if isinstance(getattr(value, "name", None), str):
        return value.name
    if isinstance(value, Mapping):
        return {str(k): describe_value(v) for k, v in value.items()}
    if isinstance(value, (Sequence, set, frozenset)):
        return [describe_value(v) for v in value]
    msg = (
        f"a parameter of type {type(value).__name__} cannot be recorded. Pass numbers, texts, lists, settings,"
        " frames, or a model that has a `name`."
    )
    raise TypeError(msg)


def stage_hash(stage: Mapping[str, Any]) -> int:
    """Hash a stage description to 64 bits; key order counts, because option order does."""
    text = json.dumps(stage).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def frame_digest(df: pl.DataFrame) -> str:
    """Hash all rows of a frame, whatever their order, to 16 hex digits."""
    hashes = row_hashes(df).copy()
    hashes.sort()
    return hashlib.blake2b(hashes.tobytes(), digest_size=8).hexdigest()


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number, where installed."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def explain_change(old: Any, new: Any, *, where: str = "") -> list[str]:
    """Name what differs between two stage descriptions, as short sentences."""
    if _is_frame(old) and _is_frame(new):
        return [] if old == new else [f"{where.rpartition('.')[2]} changed"]
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in [*old, *(k for k in new if k not in old)]:
            path = f"{where}.{key}" if where else str(key)
            if key not in old or key not in new:
                found.append(f"{path} is {'new' if key not in old else 'gone'}")
            else:
                found += explain_change(old[key], new[key], where=path)
        return found or ([f"{where}: other order"] if list(old) != list(new) else [])
    return [] if old == new else [f"{where}: {_short(old)} -> {_short(new)}"]


def _is_frame(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"rows", "digest"}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _code_version(func: Callable[..., Any]) -> int | str:
    """The VERSION of the function's package or module; for a function without one, a hash of its source."""
    package = ".".join(func.__module__.split(".")[:2])
    for place in (package, func.__module__):
        if isinstance(number := getattr(sys.modules.get(place), "VERSION", None), int):
            return number
    try:
        source = inspect.getsource(func)
    except (OSError, TypeError):
        return "unknown"
    return hashlib.blake2b(source.encode(), digest_size=8).hexdigest()


def row_hashes(df: pl.DataFrame) -> NDArray[np.uint64]:
    """Hash each row: the stored `fingerprint` where there is one, else all values but `path`.

    Stable across processes, machines and Polars versions (BLAKE2b over column names and values).
    """
    if FINGERPRINT in df.columns:
        return df[FINGERPRINT].to_numpy()
    frame = df.drop("path", strict=False)
    head = repr(frame.columns).encode()
    out = np.empty(df.height, dtype=np.uint64)
    for i, row in enumerate(frame.iter_rows()):
        out[i] = int.from_bytes(hashlib.blake2b(head + repr(row).encode(), digest_size=8).digest(), "little")
    return out


def mark_failures(df: pl.DataFrame) -> pl.DataFrame:
    """Flip bits in the `fingerprint` of each failed row, other bits for each status; twice gives it back.

    Tables are stored so: a failure that passes, or becomes another one, is a change for the next stage.
    """
    if "status" not in df.columns:
        return df
    bits = {s: stage_hash({"status": s}) for s in STATUSES if not s.startswith("ok")}
    flips = pl.col("status").cast(pl.String).replace_strict(bits, default=0, return_dtype=pl.UInt64)
    return df.with_columns(pl.col(FINGERPRINT) ^ flips)


def mix_hashes(hashes: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """Combine row hashes with the hash of a stage (splitmix64 finaliser, Steele et al. 2014)."""
    z = hashes + np.uint64(salt)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
