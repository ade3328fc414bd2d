"""Report which tables are stale and why: compare stored stage descriptions with present ones; compute no table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.tables import FINGERPRINT, TABLES
from facestats.inputs.listing import list_images
from facestats.store.checksums import read_versions
from facestats.store.fingerprint import (
    explain_change,
    frame_digest,
    is_frame_digest,
    mix_hashes,
    row_hashes,
    stage_hash,
    translate_stage,
)
from facestats.store.lost_crops import find_lost
from facestats.store.orphan_crops import MAKER
from facestats.store.table_files import TableFiles, find_table, index_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from facestats.core.tables import Table


STATES = {
    "table": pl.String,
    **dict.fromkeys(("rows", "failed"), pl.Int64),
    **dict.fromkeys(("state", "why", "run_from"), pl.String),
}


@dataclass(frozen=True)
class Expected:
    """How a table would be made now.

    Parameters
    ----------
    stage
        The present description of its stage, from :func:`facestats.store.fingerprint.describe_stage`.
    rows
        Its input rows, if they come from no stored table (pictures, captions).
    """

    stage: Mapping[str, Any]
    rows: pl.DataFrame | None = None


def table_states(
    folder: Path, expected: Mapping[str, Expected], *, crops_dir: Path, verify: bool = False
) -> pl.DataFrame:
    """List every table below `folder`; see :meth:`facestats.Store.status`."""
    found: list[tuple[Any, ...]] = []
    spoilt: dict[str, str] = {}  # table that is stale or damaged -> which of the two
    mend: dict[str, str] = {}  # table that is needed and not fresh -> number of the notebook that mends it
    for name, table in TABLES.items():
        files = TableFiles(folder, name)
        damage = files.damage(checksums=verify)
        index = index_parts([path for path in files.parts() if path not in damage], table.key)
        if not files.parts():
            state, why = (
                "missing",
                ["optional; not made in this project" if table.optional else f"run {table.made_by}"],
            )
        else:
            why = [f"{path.relative_to(folder)}: {what}" for path, what in damage.items()]
            why = why or _reasons(folder, table, index, expected=expected)
            if name == MAKER and not damage:
                given = files.metadata().get("crops_dir", crops_dir)
                lost = find_lost(files.parts(), Path(given)).height
                why += [f"{lost} crops are missing or empty"] if lost else []
            why += [f"{read} is {spoilt[read]}" for read in table.reads if read in spoilt]
            state = "damaged" if damage else "stale" if why else "fresh"
            spoilt |= {name: state} if why else {}
            if verify and not damage and not read_versions(files.manifest):
                why.append("written by an earlier release without checksums, which the next run adds")
        first = min([Path(table.made_by).name[:2], *(mend[read] for read in table.reads if read in mend)])
        if state in {"stale", "damaged"} or (state == "missing" and (not table.optional or name in expected)):
            mend[name] = first
        # an optional table that nothing would make now needs no mending
        found.append((name, index.height, int(index["failed"].sum()), state, "; ".join(why), mend.get(name)))
    return pl.DataFrame(found, schema=STATES, orient="row")


def stale_inputs(folder: Path, name: str, given: Mapping[str, pl.DataFrame]) -> list[str]:
    """List the tables before `name` that were made from other rows than there are now.

    Compares every table that `name` directly or indirectly depends on with the stored table that it was made from,
    or with its input rows in `given`. Pictures and settings that have changed since do not count.
    """
    found, waiting = [], list(find_table(name).reads)
    for read in waiting:
        table = find_table(read)
        waiting += [r for r in table.reads if r not in waiting]
        files = TableFiles(folder, read)
        meta, index = files.metadata(), index_parts(files.parts(), table.key)
        rows = given[read] if read in given else _stored_rows(folder, table.reads[0]) if table.reads else None
        if rows is None or not meta or not _is_marked(rows) or not _is_marked(index):
            continue
        if why := _row_changes(index, rows, table, meta=meta):
            found.append(f"{read} ({why[0]}; run {table.made_by})")
    return found


def table_digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Hash the rows of each stored table in `names`; tables with rows without fingerprints are left out."""
    found = {name: _stored_rows(folder, name) for name in names}
    return {name: frame_digest(rows) for name, rows in found.items() if rows is not None and _is_marked(rows)}


def _reasons(
    folder: Path, table: Table, index: pl.DataFrame, *, expected: Mapping[str, Expected]
) -> list[str]:
    meta = TableFiles(folder, table.name).metadata()
    if not meta:
        return ["its footer cannot be read; delete it and build it again"]
    stage = translate_stage(meta["stage"], table.name)
    own = expected.get(table.name)
    why = explain_change(_without_tables(stage), _without_tables(own.stage)) if own else []
    for name, value in stage["params"].items():
        now = _stored_rows(folder, name) if name in TABLES else None
        if now is not None and is_frame_digest(value) and frame_digest(now) != value["digest"]:
            why.append(f"{name} changed")
        elif now is None and name in TABLES and is_frame_digest(value) and value["rows"]:
            why.append(f"there is no {name} any more")
        elif now is not None and value is None and name in expected:
            why.append(f"{name} is new")
    reads = meta.get("reads", {})  # of a table that Store.write wrote
    now_read = table_digests(folder, reads)
    why += [f"{name} changed" for name in now_read if now_read[name] != reads[name]]
    rows = own.rows if own and own.rows is not None else _input_rows(folder, table, meta)
    if rows is not None and table.key in rows.columns and _is_marked(rows):
        why += _row_changes(index, rows, table, meta=meta)
    return why


def _without_tables(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the parameters that are tables, because those are compared with the stored tables."""

    def is_table(name: str, value: Any) -> bool:  # the settings of the attributes are called like their table
        return name in TABLES and (value is None or is_frame_digest(value))

    return {**stage, "params": {k: v for k, v in stage["params"].items() if not is_table(k, v)}}


def _is_marked(rows: pl.DataFrame) -> bool:
    """Return whether rows can be compared: those that Store.write wrote have no fingerprints."""
    return FINGERPRINT not in rows.columns or not rows[FINGERPRINT].null_count()


def _stored_rows(folder: Path, name: str) -> pl.DataFrame | None:
    key = find_table(name).key
    index = index_parts(TableFiles(folder, name).parts(), key)
    return index.select(key, pl.col("shown").alias(FINGERPRINT)) if index.height else None


def _input_rows(folder: Path, table: Table, meta: Mapping[str, Any]) -> pl.DataFrame | None:
    """Return the rows that the table is made from: those of a stored table, or the pictures of the recorded folder."""
    if table.reads:
        return _stored_rows(folder, table.reads[0])
    source = meta.get("source")
    return list_images(source) if source and Path(source).is_dir() else None


def _row_changes(
    index: pl.DataFrame, rows: pl.DataFrame, table: Table, *, meta: Mapping[str, Any]
) -> list[str]:
    """Count the rows that differ between the stored table and what its stored stage would make from `rows`."""
    source = table.reads[0] if table.reads else "pictures" if meta.get("source") else "input"
    salt = stage_hash(meta["stage"])
    if meta.get("whole"):
        salt ^= int(frame_digest(rows), 16)
    now = pl.DataFrame(
        {table.key: rows[table.key], "now": pl.Series(mix_hashes(row_hashes(rows), salt), dtype=pl.UInt64)}
    )
    both = now.join(index, on=table.key, how="inner")
    changed = int(np.count_nonzero(both["now"] != both[FINGERPRINT]))
    if changed and meta.get("whole"):
        return [f"{source} changed"]
    counts = {
        "changed": changed,
        "new": now.join(index, on=table.key, how="anti").height,
        "removed": index.join(now, on=table.key, how="anti").height,
    }
    said = [f"{n} {word}" for word, n in counts.items() if n]
    return [f"{source}: {', '.join(said)}"] if said else []
