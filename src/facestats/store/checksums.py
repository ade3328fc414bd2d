"""Checksums of the files of a table, so that damage is seen before a damaged value is used.

The manifest of a table lists its files with their SHA-256. While one version replaces another, it lists both: thus it
needs no commit of its own, and a kill at any moment leaves a table that fulfils it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.atomic_write import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Version = Mapping[str, str]  # name of each file of a version of the table, and its checksum

WHOLE = "table"  # stands for the file of a table that is one file
_CUT = "it is not a complete Parquet file"
_CHANGED = "its content is not what was written"
_MISSING = "it is missing"
_FOREIGN = "it does not belong to the table"
_UNKNOWN = "its checksum cannot be read"


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, as `sha256sum` prints it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_versions(manifest: Path) -> list[Version]:
    """Read the versions that a manifest lists, none if there is no manifest; of a damaged one, a version without files."""
    if not manifest.exists():
        return []
    try:
        found = json.loads(manifest.read_bytes())["versions"]
        return [{str(name): str(digest) for name, digest in version.items()} for version in found]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return [{}]


def write_versions(manifest: Path, versions: Sequence[Version]) -> None:
    """Replace the manifest."""
    write_atomically(manifest, json.dumps({"versions": versions}, indent=1, sort_keys=True))


def find_damage(
    parts: Mapping[str, Path], versions: Sequence[Version], *, checksums: bool = True
) -> dict[Path, str]:
    """Say of each damaged file of a table what is wrong with it.

    Parameters
    ----------
    parts
        Name of each file in the manifest, and its path.
    versions
        What the manifest lists; with an empty one only the ends of the files are checked.
    checksums
        Whether to read all files and to compare their checksums.

    Returns
    -------
    Paths of damaged files and a clause for each; empty if all is well.
    """
    found: dict[Path, str] = {}
    for name, path in parts.items():
        known = {version[name] for version in versions if name in version}
        if versions and not known:
            found[path] = _FOREIGN if any(versions) else _UNKNOWN
        elif not _has_footer(path):
            found[path] = _CUT
        elif known and checksums and file_digest(path) not in known:
            found[path] = _CHANGED
    if parts and versions and not any(set(version) <= set(parts) for version in versions):
        nearest = max(versions, key=lambda version: len(set(version) & set(parts)))
        folder = next(iter(parts.values())).parent
        found |= {folder / name: _MISSING for name in sorted(set(nearest) - set(parts))}
    return found


def _has_footer(path: Path) -> bool:
    try:
        pl.read_parquet_metadata(path)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False
    return True
