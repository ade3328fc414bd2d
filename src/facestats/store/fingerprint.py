"""Describe what the output of a stage depends on: its function, the version of its code, its settings, its models.

The store compares these descriptions: a table is stale if its stage would be described differently now.
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
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

PACKAGES = (
    "facestats",
    "numpy",
    "polars",
    "pillow",
    "opencv-contrib-python",
    "ai-edge-litert",
    "mediapipe",
    "torch",
    "open_clip_torch",
    "transformers",
)
# parameters that change only the speed
SPEED_ONLY = frozenset({"workers"})
# settings of an attribute that only one of the two sides reads, and `title`, which only people read
_PICTURE_SIDE = frozenset({"title", "view", "image_templates", "image"})
_TEXT_SIDE = frozenset({"title", "text_templates", "text_question", "text", "tags"})
# Settings of attributes that a stage does not read, so that a changed prompt for pictures leaves the labels of texts
# as they are. A stage that is not listed depends on all settings.
UNREAD = {
    "facestats.attributes.fit_probes": _TEXT_SIDE,
    "facestats.attributes.label_attributes": _TEXT_SIDE,
    "facestats.text_labels.label_texts": _PICTURE_SIDE,
}
# Stages that earlier releases recorded by the module of their code: (name, version) then and now.
_EARLIER_STAGES = {
    ("facestats.core.classify.classify_faces", 2): ("facestats.attributes.classify_faces", 1),
}
# Tables that earlier releases recorded without the stage that made them: table -> (name, version) of that stage.
_EARLIER_WRITES = {
    "composites": ("facestats.composites.tabulate", 1),
    "audit": ("facestats.audit.accuracy", 2),
}


def describe_stage(func: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a stage as data for JSON: function, code version, parameters.

    Folders (``Path``) and the parameters in `SPEED_ONLY` are left out. A model is described by its `name`, a frame by
    the hash of its rows. Settings that the stage does not read (`UNREAD`) are left out.
    """
    counted = {k: v for k, v in params.items() if k not in SPEED_ONLY and not isinstance(v, Path)}
    unread = UNREAD.get(stage_name(func), frozenset())
    return {
        "function": stage_name(func),
        "version": _code_version(func),
        "params": {name: describe_value(value, unread=unread) for name, value in sorted(counted.items())},
    }


def describe_write(func: Callable[..., Any] | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a table that :meth:`facestats.Store.write` writes: the stage that made it, and the given settings."""
    name, number = ("Store.write", 1) if func is None else (stage_name(func), _code_version(func))
    return {"function": name, "version": number, "params": {k: str(v) for k, v in settings.items()}}


def stage_name(func: Callable[..., Any]) -> str:
    """Return the public name of a stage, so that a function of this package keeps its name in another module."""
    parts = func.__module__.split(".")
    home = ".".join(parts[:2]) if parts[0] == "facestats" else func.__module__
    return f"{home}.{func.__qualname__}"


def translate_stage(stage: Mapping[str, Any], table: str) -> dict[str, Any]:
    """Translate the stored description of a stage, which an earlier release may have written, into the present form."""
    was = (stage["function"], stage["version"])
    now = _EARLIER_WRITES.get(table, was) if was[0] == "Store.write" else _EARLIER_STAGES.get(was, was)
    names = {t.earlier_name: t.name for t in TABLES.values() if t.earlier_name}
    params = {names.get(name, name): value for name, value in stage["params"].items()}
    if now[0] in UNREAD and isinstance(attributes := params.get("attributes"), Mapping):
        params["attributes"] = {name: _without(a, UNREAD[now[0]]) for name, a in attributes.items()}
    return {"function": now[0], "version": now[1], "params": dict(sorted(params.items()))}


def as_recorded(stage: dict[str, Any], stored: dict[str, Any], table: str) -> dict[str, Any]:
    """Return `stored` if it describes the same stage in the form of an earlier release, else `stage`.

    The fingerprints of the stored rows hash the form in which the stage was recorded. The two are compared by their
    hashes, because ``==`` does not see another order of the options.
    """
    same = stage_hash(translate_stage(stored, table)) == stage_hash(stage)
    return stored if same else stage


def describe_value(value: Any, *, unread: Collection[str] = ()) -> Any:
    """Turn a parameter into data for JSON that changes when the meaning of the parameter changes.

    The fields `unread` of settings are left out.
    """
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, pl.DataFrame):
        return {"rows": value.height, "digest": frame_digest(value)}
    if hasattr(value, "model_dump"):
        fields = {name: getattr(value, name) for name in type(value).model_fields if name not in unread}
        return describe_value(fields, unread=unread)
    # the name of a path or a series does not say what it holds
    if isinstance(getattr(value, "name", None), str) and not isinstance(value, (Path, pl.Series)):
        return value.name
    if isinstance(value, Mapping):
        return {str(k): describe_value(v, unread=unread) for k, v in value.items()}
    if isinstance(value, (Sequence, set, frozenset)):
        return [describe_value(v, unread=unread) for v in value]
    msg = (
        f"a parameter of type {type(value).__name__} cannot be recorded. Pass numbers, texts, lists, settings,"
        " frames, or a model that has a `name`."
    )
    raise TypeError(msg)


def stage_hash(stage: Mapping[str, Any]) -> int:
    """Hash a stage description to 64 bits; the order of keys counts, because the order of options does."""
    text = json.dumps(stage).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def frame_digest(df: pl.DataFrame) -> str:
    """Hash all rows of a frame to 16 hexadecimal digits; their order does not count."""
    hashes = row_hashes(df).copy()
    hashes.sort()
    return hashlib.blake2b(hashes.tobytes(), digest_size=8).hexdigest()


def package_versions() -> dict[str, str]:
    """Return the versions of the installed packages that can affect results."""
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def explain_change(old: Any, new: Any, *, where: str = "") -> list[str]:
    """List the differences of two stage descriptions in a few words each; `where` is the path to `old` and `new`."""
    if is_frame_digest(old) and is_frame_digest(new):
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
    return [] if old == new else [f"{where}: {_shorten(old)} -> {_shorten(new)}"]


def is_frame_digest(value: Any) -> bool:
    """Return whether a described parameter is a frame."""
    return isinstance(value, Mapping) and set(value) == {"rows", "digest"}


def _without(attribute: Mapping[str, Any], unread: Collection[str]) -> dict[str, Any]:
    """Leave out settings of a described attribute and of its options."""
    kept = {k: v for k, v in attribute.items() if k not in unread}
    options = kept.get("options", {}).items()
    return kept | {"options": {name: {k: v for k, v in o.items() if k not in unread} for name, o in options}}


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _code_version(func: Callable[..., Any]) -> int | str:
    """Return the VERSION of the function's package or module; for a function without one, a hash of its source."""
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
    """Return the hash of each row, (n,) uint64: its stored `fingerprint`, or else the hash of all values but `path`.

    The hash is the same in every process, on every machine, and in every version of Polars (BLAKE2b of column names
    and values).
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
    """Make the fingerprint of a failed row depend on its status.

    When a row stops failing, or fails in another way, the fingerprint that the next stage sees changes, so that the
    next stage computes the row again. The function flips bits of `fingerprint`, different ones for each status, so that
    a second call restores it.
    """
    if "status" not in df.columns:
        return df
    bits = {s: stage_hash({"status": s}) for s in STATUSES if not s.startswith("ok")}
    flips = pl.col("status").cast(pl.String).replace_strict(bits, default=0, return_dtype=pl.UInt64)
    return df.with_columns(pl.col(FINGERPRINT) ^ flips)


def mix_hashes(hashes: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """Combine row hashes with `salt`, the hash of a stage (finaliser of splitmix64, Steele et al. 2014)."""
    z = hashes + np.uint64(salt)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
