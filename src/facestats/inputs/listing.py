"""List the pictures of a folder; pipes, devices and links that leave the folder are listed, but never opened."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.tables import KEY, STATUS
from facestats.pictures.kinds import kind_of_file, sniff
from facestats.pictures.paths import path_text

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".jpg_large",
        ".png",
        ".apng",
        ".webp",
        ".gif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".avif",
        ".heic",
        ".heif",
        ".jxl",
        ".jp2",
        ".psd",
        ".ico",
        ".tga",
        ".pcx",
        ".svg",
        ".eps",
    ]
)
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    KEY: pl.String,
    "path": pl.String,
    "bytes": pl.Int64,
    "mtime_ns": pl.Int64,
    "status": STATUS,
    "error": pl.String,
}


@dataclass(frozen=True)
class _Unusable:
    """A path that cannot be opened, and why."""

    status: str
    error: str
    is_folder: bool = False


_Found = os.stat_result | _Unusable


def list_images(folder: str | os.PathLike[str], *, follow_links: bool = False) -> pl.DataFrame:
    """List every picture below `folder`; no picture is decoded.

    Parameters
    ----------
    folder
        Folder of the pictures, subfolders included; nothing is written into it. Hidden files are left out.
    follow_links
        Whether to accept symbolic links that leave `folder`.

    Returns
    -------
    One row per picture, sorted by key: `image_id` (String, posix path below `folder`; bytes that are not UTF-8 are
    percent-encoded), `path` (String), `bytes` and `mtime_ns` (Int64; if one of them changes, stage 01 computes the
    picture again), `status` (Enum) and `error` (String), which are null unless the file cannot be opened: a pipe, a
    broken link, a folder without permission.

    Raises
    ------
    FileNotFoundError
        If `folder` does not exist or holds no picture.

    Examples
    --------
    >>> import facestats as fs
    >>> images = fs.list_images(fs.testing.example_project().raw_dir)
    >>> images.columns
    ['image_id', 'path', 'bytes', 'mtime_ns', 'status', 'error']
    >>> images["image_id"].head(2).to_list()
    ['face_000.png', 'face_001.png']
    """
    root = Path(os.path.realpath(folder))
    if not root.is_dir():
        msg = f"{folder} is not a folder. Put your pictures there, or set raw_dir in the configuration."
        raise FileNotFoundError(msg)
    rows: dict[str, tuple] = {}
    others = 0
    for path, found in _walk(root, follow_links=follow_links):
        row = _list_row(root, path, found)
        if row is None:
            others += 1
        elif row[0] in rows:  # a name that is not UTF-8, and another one that is literally its encoding
            name = f"{row[0]} (second file of this name)"
            rows[name] = (
                name,
                *row[1:4],
                "unreadable",
                "another file has the same name once it is encoded; rename it",
            )
        else:
            rows[row[0]] = row
    if not rows:
        msg = f"no picture found in {folder} ({others} other files). Check raw_dir in the configuration."
        raise FileNotFoundError(msg)
    return pl.DataFrame(list(rows.values()), schema=SCHEMA, orient="row").sort(KEY)


def _walk(root: Path, *, follow_links: bool) -> Iterator[tuple[Path, _Found]]:
    """Yield every visible file below `root` once, with its stat result or the reason why there is none."""
    seen: set[tuple[int, int]] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            info = folder.stat()
            entries = sorted(os.scandir(folder), key=lambda e: os.fsencode(e.name))
        except OSError as error:
            if folder == root:
                raise
            status = "permission_denied" if isinstance(error, PermissionError) else "unreadable"
            yield (
                folder,
                _Unusable(status, f"the folder could not be opened: {error.strerror}", is_folder=True),
            )
            continue
        if (info.st_dev, info.st_ino) in seen:  # visited before, through a link
            continue
        seen.add((info.st_dev, info.st_ino))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = Path(entry.path)
            found = _inspect(entry, root, follow_links=follow_links)
            if isinstance(found, os.stat_result) and stat.S_ISDIR(found.st_mode):
                folders.append(path)
            elif found is not None:
                yield path, found


def _inspect(entry: os.DirEntry[str], root: Path, *, follow_links: bool) -> _Found | None:
    """Return the stat result of a directory entry; None for a link to a folder below `root`, which is listed there."""
    if not entry.is_symlink():
        return entry.stat(follow_symlinks=False)
    inside = Path(os.path.realpath(entry.path)).is_relative_to(root)
    try:
        found = Path(entry.path).stat()
    except FileNotFoundError:
        return _Unusable("unreadable", "the link points to nothing")
    except OSError as error:
        return _Unusable("unreadable", f"the link cannot be followed: {error.strerror}")
    if not inside and not follow_links:
        return _Unusable("not_regular_file", "the link leaves the folder of pictures; see follow_links")
    return None if inside and stat.S_ISDIR(found.st_mode) else found


def _list_row(root: Path, path: Path, found: _Found) -> tuple | None:
    """Return one row of the listing, or None if the file is not a picture."""
    name, where = (path_text(p) for p in (path.relative_to(root).as_posix(), path))
    known = path.suffix.lower() in SUFFIXES
    if isinstance(found, _Unusable):
        return (name, where, 0, 0, found.status, found.error) if known or found.is_folder else None
    if not stat.S_ISREG(found.st_mode):
        reason = f"{kind_of_file(found.st_mode)}, not a regular file"
        return (name, where, 0, 0, "not_regular_file", reason) if known else None
    if not known and not _looks_like_picture(path):
        return None
    return name, where, found.st_size, found.st_mtime_ns, None, None


def _looks_like_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return sniff(file.read(512))[0] == "picture"
    except OSError:
        return False
