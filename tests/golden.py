"""Pinned results of the stages: a result that changes while the VERSION of its stage stays the same is red."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

HERE = Path(__file__).parent
# processors differ in the last bits, which a digest of the floats would show
DIGITS, RELATIVE, ABSOLUTE = 6, 2e-4, 1e-5
WORDED = {"error", "finding", "example"}  # columns of sentences
SHOWN = 5  # differences that a message names


def check_golden(
    stage: str,
    version: int,
    tables: Mapping[str, Any],
    *,
    rough: Mapping[str, float] | None = None,
    folder: Path = HERE,
) -> None:
    """Compare the results of a stage with those that are pinned, or pin them where FACESTATS_PIN is 1.

    Parameters
    ----------
    stage
        Name of the stage; its results are pinned in ``tests/<stage>/golden.json``.
    version
        VERSION of the stage now.
    tables
        Name to a frame, a series, an array, a number, a text, or a list or mapping of these.
    rough
        Absolute tolerance for the floats of some tables: those of a solver that stops when it is near enough.
    folder
        Where the tests lie.
    """
    __tracebackhide__ = True
    file = folder / stage / "golden.json" if (folder / stage).is_dir() else folder / f"golden_{stage}.json"
    found = plain(tables)
    again = f"FACESTATS_PIN=1 pytest tests -k golden_values_of_{stage}"
    if os.environ.get("FACESTATS_PIN") == "1":
        file.write_text(_to_text(version, found), encoding="utf-8")
        return
    if not file.is_file():
        pytest.fail(f"no results of stage {stage!r} are pinned; pin them with: {again}")
    pinned = json.loads(file.read_text(encoding="utf-8"))
    if pinned["version"] != version:
        pytest.fail(
            f"stage {stage!r} has VERSION {version}, but {file.name} holds results of VERSION"
            f" {pinned['version']}: pin again with: {again}"
        )
    if differences := list(_differences(pinned["tables"], found, rough=rough or {})):
        listed = "".join(f"\n  - {line}" for line in differences[:SHOWN])
        more = f"\n  and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        pytest.fail(
            f"the result of stage {stage!r} changed but its VERSION is still {version}. If no change was meant, look"
            f" for it in src/facestats/{stage} and in what it imports. If it was, raise VERSION in"
            f" src/facestats/{stage}, then pin again with: {again}{listed}{more}"
        )


def plain(value: Any) -> Any:
    """Turn a value into what JSON holds, floats rounded; a frame is a mapping of its columns."""
    if isinstance(value, pl.DataFrame):
        return {
            n: plain(value[n].map_elements(_limits, return_dtype=pl.String) if n in WORDED else value[n])
            for n in value.columns
        }
    if isinstance(value, Mapping):
        return {str(name): plain(v) for name, v in value.items()}
    if isinstance(value, (pl.Series, np.ndarray, np.generic)):
        return plain(value.to_list() if isinstance(value, pl.Series) else value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def block_means(pixels: NDArray[Any], n: int = 8) -> NDArray[np.float64]:
    """Mean of each of n x n parts of a picture, (n, n) or (n, n, channels)."""
    bands = (np.array_split(band, n, axis=1) for band in np.array_split(np.asarray(pixels, float), n))
    return np.array([[part.mean(axis=(0, 1)) for part in band] for band in bands])


def error_of(function: Callable[..., Any], *args: Any, **settings: Any) -> str:
    """The numbers in the ValueError that a call raises: the limits that a helper keeps, in whatever words."""
    try:
        function(*args, **settings)
    except ValueError as error:
        return _limits(str(error))
    return "no error"


def _limits(text: str) -> str:
    """The numbers of a message: its wording may become clearer without another VERSION."""
    return " ".join(re.findall(r"\d[\d.]*(?<!\.)", text))


def _differences(pinned: Any, found: Any, *path: str | int, rough: Mapping[str, float]) -> Iterator[str]:
    """Name each place where two plain values differ, with both values."""
    if isinstance(pinned, dict) and isinstance(found, dict):
        for name in [*pinned, *(n for n in found if n not in pinned)]:
            if name in pinned and name in found:
                yield from _differences(pinned[name], found[name], *path, name, rough=rough)
            else:
                yield f"{_place(*path, name)} is {'new' if name in found else 'gone'}"
    elif isinstance(pinned, list) and isinstance(found, list):
        if len(pinned) != len(found):
            yield f"{_place(*path)} has {len(found)} values, pinned are {len(pinned)}"
        for i, (old, new) in enumerate(zip(pinned, found, strict=False)):
            yield from _differences(old, new, *path, i, rough=rough)
    elif not _same(pinned, found, rough.get(str(path[0]), ABSOLUTE)):
        yield f"{_place(*path)}: pinned {json.dumps(pinned)}, found {json.dumps(found)}"


def _same(pinned: Any, found: Any, absolute: float) -> bool:
    if float in {type(pinned), type(found)} and {type(pinned), type(found)} <= {int, float}:
        return math.isclose(pinned, found, rel_tol=RELATIVE, abs_tol=absolute)
    return type(pinned) is type(found) and pinned == found


def _place(*path: str | int) -> str:
    """Write a path in words: table faces, column box, row 3 [1]."""
    names = [str(p) for p in path if isinstance(p, str)]
    places = [p for p in path if isinstance(p, int)]
    words = [f"table {names[0]}"] if names else []
    words += [f"column {'.'.join(names[1:])}"] if names[1:] else []
    words += [" ".join([f"row {places[0]}", *(f"[{p}]" for p in places[1:])])] if places else []
    return ", ".join(words)


def _to_text(version: int, tables: Mapping[str, Any]) -> str:
    """JSON with a line per column, so that a difference of two commits can be read."""
    parts = []
    for name, table in tables.items():
        text = json.dumps(table, ensure_ascii=False)
        if isinstance(table, dict):
            columns = (f"{json.dumps(c)}: {json.dumps(v, ensure_ascii=False)}" for c, v in table.items())
            text = "{\n    " + ",\n    ".join(columns) + "\n  }"
        parts.append(f"  {json.dumps(name)}: {text}")
    return f'{{"version": {version}, "tables": {{\n' + ",\n".join(parts) + "\n}}\n"
