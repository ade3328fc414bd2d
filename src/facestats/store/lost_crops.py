"""Crops that are missing or empty: find them, and make them again from the stored rows of the faces."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import polars as pl

from facestats.core.progress import say
from facestats.core.tables import FACES, FINGERPRINT, KEY, Rows, take_rows
from facestats.pictures.crops import restore_crops

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_NEEDED = ("sha256", "matrix", "crop")
_SETTINGS = ("size", "max_pixels", "workers")


def find_lost(paths: list[Path], crops_dir: Path) -> pl.DataFrame:
    """Return key, fingerprint and crop of the rows of the faces whose crop is missing or empty.

    A power failure can leave crops of 0 bytes, because nothing waits until the disk holds them.
    """
    if not paths:
        return pl.DataFrame(schema={KEY: pl.String, FINGERPRINT: pl.UInt64, "crop": pl.String})
    rows = pl.scan_parquet(paths, glob=False)
    names = [name for name in (KEY, FINGERPRINT, "crop") if name in rows.collect_schema().names()]
    named = rows.select(names).drop_nulls().collect()
    lost = [not _has_content(crops_dir / name) for name in named["crop"]] if "crop" in names else []
    return named.filter(pl.Series(lost, dtype=pl.Boolean)) if any(lost) else named.clear()


def remake_crops(
    paths: list[Path],
    wanted: pl.DataFrame,
    *,
    rows: Rows,
    func: Callable[..., Any],
    params: Mapping[str, Any],
    crops_dir: Path,
) -> list[str]:
    """Make the lost crops of `wanted` rows again; return the keys of the rows that have to be computed instead.

    Parameters
    ----------
    paths
        Files of the table faces and of its finished chunks.
    wanted
        Key and fingerprint of the rows that the table should have.
    rows
        The pictures, with `path`.
    func, params
        The stage that aligns faces, and its settings.
    crops_dir
        Folder of the crops.
    """
    lost = find_lost(paths, crops_dir).join(wanted, on=[KEY, FINGERPRINT], how="semi")
    if lost.is_empty():
        return []
    known = {name: p.default for name, p in inspect.signature(func).parameters.items()} | dict(params)
    if "size" not in known or "path" not in rows.lazy().collect_schema().names():
        return lost[KEY].to_list()
    stored = take_rows(pl.scan_parquet(paths, glob=False).select(KEY, *_NEEDED), lost[KEY])
    pictures = take_rows(rows, lost[KEY]).select(KEY, "path")
    stored = stored.unique(KEY, keep="last").join(pictures, on=KEY, how="inner")
    settings = {name: known[name] for name in _SETTINGS if name in known}
    failed = restore_crops(stored, crops_dir, **settings)
    if n := stored.height - len(failed):
        say(f"{FACES.name}: {n} lost crops made again from the stored matrices")
    return failed


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
