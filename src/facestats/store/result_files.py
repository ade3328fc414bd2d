"""Results of functions as files: frames, arrays, plain values, and the dataclasses of facestats that hold them.

A file is in the format safetensors: arrays as they are, frames as Parquet, and all else as JSON in the header. Reading
one runs no code from the file, as reading a pickle would.
"""

from __future__ import annotations

import dataclasses
import json
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import polars as pl

from facestats.core.atomic_write import write_atomically
from facestats.store.locks import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

ROOT = __name__.partition(".")[0]  # dataclasses of other packages are refused
MAX_NAME = 200
_PLAIN = (str, int, float, bool, type(None))


def remembered_file(folder: Path, name: str) -> Path:
    """Return the path of the result `name` of the tables below `folder`; raise ValueError if the name is too long."""
    file = quote(name, safe=" ")  # names of traits and groups may hold any character
    if not 0 < len(file) <= MAX_NAME:
        msg = f"the name of a result needs 1 to {MAX_NAME} characters, {name!r} has {len(file)} in the name of its file"
        raise ValueError(msg)
    return folder / ".facestats" / "remembered" / f"{file}.safetensors"


def write_result(path: Path, value: Any, *, key: str) -> None:
    """Write `value` to `path` atomically; :func:`read_result` returns it for the same `key`."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {}
    tree = json.dumps(_encode(value, arrays))
    try:
        write_atomically(path, save(arrays, metadata={"key": key, "result": tree}))
    except OSError as error:
        msg = f"{path} could not be written ({error}). Free some space or correct the permissions, and run again."
        raise StoreError(msg) from error


def read_result(path: Path, *, key: str) -> tuple[Any] | None:
    """Read what was written with this `key`, as a tuple of one; None if there is no such file, or a damaged one."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as stream:
            header = stream.metadata() or {}
            if header.get("key") != key:
                return None
            arrays = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        return (_decode(json.loads(header["result"]), arrays),)
    except (
        OSError,
        SafetensorError,
        pl.exceptions.PolarsError,
        pl.exceptions.PanicException,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ImportError,
    ):
        return None


def _encode(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Turn a value into JSON; arrays and frames go to `arrays`, and their names stand for them."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, pl.DataFrame):
        value.write_parquet(stream := BytesIO(), compression="zstd")
        return {"frame": _put(np.frombuffer(stream.getvalue(), np.uint8), arrays)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": _put(value, arrays)}
    if isinstance(value, (list, tuple)) and type(value) in {list, tuple}:
        return {type(value).__name__: [_encode(v, arrays) for v in value]}
    if type(value) is dict:
        return {"dict": [[_encode(k, arrays), _encode(v, arrays)] for k, v in value.items()]}
    kind = type(value)
    if dataclasses.is_dataclass(kind) and kind.__module__.partition(".")[0] == ROOT:
        fields = {f.name: _encode(getattr(value, f.name), arrays) for f in dataclasses.fields(kind) if f.init}
        return {"class": [kind.__module__, kind.__qualname__], "fields": fields}
    msg = (
        f"a result of type {kind.__name__} cannot be kept in a file. Return frames, arrays of numbers, numbers, texts,"
        " lists, dictionaries, or dataclasses of facestats that hold them."
    )
    raise TypeError(msg)


def _put(values: NDArray[Any], arrays: dict[str, NDArray[Any]]) -> str:
    name = f"a{len(arrays)}"
    arrays[name] = values.copy(order="C")  # safetensors writes the memory as it lies
    return name


def _decode(tree: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "class" in tree:
        module, name = tree["class"]
        kind = getattr(import_module(module), name) if module.partition(".")[0] == ROOT else None
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            msg = f"{module}.{name} is no dataclass of {ROOT}"
            raise ValueError(msg)
        return kind(**{field: _decode(v, arrays) for field, v in tree["fields"].items()})
    ((form, content),) = tree.items()
    return _FORMS[form](content, arrays)


_FORMS: dict[str, Callable[[Any, dict[str, NDArray[Any]]], Any]] = {
    "frame": lambda name, arrays: pl.read_parquet(BytesIO(arrays[name].tobytes())),
    "array": lambda name, arrays: arrays[name],
    "list": lambda items, arrays: [_decode(v, arrays) for v in items],
    "tuple": lambda items, arrays: tuple(_decode(v, arrays) for v in items),
    "dict": lambda items, arrays: {_decode(k, arrays): _decode(v, arrays) for k, v in items},
}
