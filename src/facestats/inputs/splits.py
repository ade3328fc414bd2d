"""Splits of a local data set, such as train and test: by the names of folders and of files."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from facestats.inputs.textfiles import CaptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLITS = {name: split for split, names in _NAMES.items() for name in names}
_FIRST_WORD = re.compile(r"[A-Za-z]+(?=[-_.\d])")
ALL = "all"


def split_files(paths: Sequence[str], *, by_file_name: bool) -> dict[str, list[str]]:
    """Divide paths by split.

    A split is the first folder of a path, or the second below ``data/``. Tables and tars also have one by the first
    word of their file name (``train-00000-of-00002.parquet``); pictures do not, so that ``train.jpg`` is a picture. A
    folder called ``train`` beside other folders is a folder like others: there are splits only if every path has one.

    Returns
    -------
    Paths by split, train first; all under an empty name if there are no splits.
    """
    found = {path: _split_of(path, by_file_name=by_file_name) for path in paths}
    if not paths or None in found.values():
        return {"": list(paths)}
    return {split: kept for split in _NAMES if (kept := [p for p in paths if found[p] == split])}


def choose_split(splits: Iterable[str], wanted: str | None, *, where: object) -> str:
    """Return the split to read: the one that was asked for, or by default the first one.

    Raises
    ------
    CaptionError
        If there is no such split; the message lists the others.
    """
    known = list(splits)
    chosen = _SPLITS.get(wanted or "", wanted) if wanted not in known else wanted
    if wanted is None:
        return known[0] if known else ALL
    if wanted != ALL and chosen not in known:
        has = (
            f"it has {known}; --split all reads all of them" if known else "it has none; leave the split out"
        )
        msg = f"the data set {str(where)!r} has no split {wanted!r}; {has}"
        raise CaptionError(msg)
    return str(chosen)


def take_split(divided: Mapping[str, list[str]], split: str) -> tuple[list[str], dict[str, int]]:
    """Return the paths of a split, and how many paths of which other splits are left out; no splits belong to each."""
    kept, others = [], {}
    for name, paths in divided.items():
        if split == ALL or name in {"", split}:
            kept += paths
        else:
            others[name] = len(paths)
    return kept, others


def _split_of(path: str, *, by_file_name: bool) -> str | None:
    folders = PurePosixPath(path).parts
    folders = folders[1:] if folders[0] == "data" else folders
    if len(folders) > 1 and folders[0].lower() in _SPLITS:
        return _SPLITS[folders[0].lower()]
    word = _FIRST_WORD.match(folders[-1]) if by_file_name else None
    return _SPLITS.get(word[0].lower()) if word else None
