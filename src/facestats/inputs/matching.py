"""Match the names in a side file (captions, truth, persons, labels, ratings, licence) to the pictures."""

from __future__ import annotations

import logging
import posixpath
import unicodedata
from collections import Counter
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl

from facestats.core.tables import KEY
from facestats.inputs.listing import SUFFIXES, list_images
from facestats.inputs.textfiles import CaptionError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence

    _Reduce = Callable[[str], str]
    _Find = Callable[[str], str | None]

log = logging.getLogger(__name__)

N_EXAMPLES = 3


def spelling(name: str) -> str:
    """Reduce what looks the same or means the same path: Unicode forms, %20, backslashes, ./ and outer spaces."""
    return posixpath.normpath(unicodedata.normalize("NFC", unquote(name)).replace("\\", "/").strip()).lstrip(
        "/"
    )


def letters(name: str) -> str:
    """Reduce also what differs by capital letters alone."""
    return spelling(name).casefold()


def _without_suffix(name: str) -> str:
    stem, suffix = posixpath.splitext(letters(name))
    return stem if suffix in SUFFIXES else f"{stem}{suffix}"


def index_keys(keys: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """Map each key to its picture, or to None where several pictures have it."""
    found: dict[str, str | None] = {}
    for key, picture in keys:
        found[key] = picture if found.get(key, picture) == picture else None
    return found


def _same(of_name: _Reduce, of_picture: _Reduce, pictures: Sequence[str]) -> _Find:
    by_key = index_keys((of_picture(picture), picture) for picture in pictures)
    return lambda name: by_key.get(of_name(name))


def _same_end(reduce: _Reduce, pictures: Sequence[str]) -> _Find:
    """Find a picture whose path ends with the name, or the longest path with which the name ends."""
    whole = index_keys((reduce(picture), picture) for picture in pictures)
    ends = index_keys((end, picture) for picture in pictures for end in _ends(reduce(picture)))
    folders = {posixpath.dirname(key) for key in whole} - {""}

    def find(name: str) -> str | None:
        key = reduce(name)
        if posixpath.dirname(key) in folders:  # the folder is there, and the picture is not in it
            return None
        longest = next((end for end in _ends(key) if end in whole), None)
        return ends.get(key) if longest is None else whole[longest]

    return find


def _ends(path: str) -> Iterator[str]:
    """Yield a path without its first folder, without its first two folders, and so on."""
    while "/" in path:
        path = path.partition("/")[2]
        yield path


# From the strictest to the loosest. By a loose one, different names could mean different pictures: a picture is found
# only by one name, and only if no stricter rule found it.
_RULES: tuple[tuple[str, Callable[[Sequence[str]], _Find], bool], ...] = (
    ("the form of letters, blanks or slashes", partial(_same, spelling, spelling), False),
    ("capital letters", partial(_same, letters, letters), False),
    ("the suffix", partial(_same, letters, _without_suffix), False),
    ("another suffix", partial(_same, _without_suffix, _without_suffix), True),
    ("the folder", partial(_same_end, letters), True),
    ("the folder and the suffix", partial(_same_end, _without_suffix), True),
)


def match_names(
    names: Iterable[str], pictures: Sequence[str], *, file: object, place: str | None = None
) -> dict[str, str]:
    """Find the picture that each name means.

    A name that is no `image_id` is matched by the first of these rules that leaves exactly one picture: another
    spelling (Unicode form, ``%20``, backslashes, ``./``), capital letters, a lost suffix, another suffix, and folders
    that are missing before the name or before the picture. By the last two rules, a picture is taken only if no other
    name means it. A line in the log says how many names were matched by which rule, and which match no picture.

    Parameters
    ----------
    names
        Names in a side file.
    pictures
        The `image_id` of all pictures.
    file
        The side file, for messages.
    place
        Folder of the side file below that of the pictures, to which its names are relative; None for other files.

    Returns
    -------
    The `image_id` of each name that means one picture; other names are left out.

    Raises
    ------
    CaptionError
        If there are names and none of them means a picture; the message shows names and the nearest pictures.
    """
    wanted, known = list(dict.fromkeys(names)), set(pictures)
    below = {name: name if place is None else join_path(place, name) for name in wanted}
    found = {name: path for name, path in below.items() if path in known}
    # names in a folder of pictures mean those; a file in another folder, or above all, may name pictures anywhere
    is_elsewhere = place in {None, "."} or not any(picture.startswith(f"{place}/") for picture in pictures)
    used: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for rule, prepare, is_loose in _RULES:
        lost = [name for name in wanted if name not in found]
        if not lost:
            break
        find = prepare(pictures)
        anywhere = is_elsewhere and "folder" in rule
        meant = {name: find(below[name]) or (find(name) if anywhere else None) for name in lost}
        if is_loose:
            taken = Counter([*found.values(), *meant.values()])
            meant = {name: picture for name, picture in meant.items() if taken[picture] == 1}
        for name, picture in meant.items():
            if picture is not None:
                found[name] = picture
                used[rule] += 1
                examples.setdefault(rule, _example(name, picture))
    lost = [name for name in wanted if name not in found]
    if wanted and not found:
        msg = (
            f"{file}: none of its {len(wanted)} names is that of a picture: {_nearest(lost, pictures)}. Write the names"
            " of the pictures with their folders below the folder of pictures, as in table faces (image_id)."
        )
        raise CaptionError(msg)
    if used:
        rules = "; ".join(f"{n} but for {rule}, such as {examples[rule]}" for rule, n in used.items())
        log.warning("%s: %d of %d names match a picture, %s", file, len(found), len(wanted), rules)
    if lost:
        log.warning(
            "%s: %d of %d names match no picture: %s", file, len(lost), len(wanted), _nearest(lost, pictures)
        )
    return found


def _example(name: str, picture: str) -> str:
    """Show a name and the picture that it means, also where both look the same."""
    if name == picture:
        return f"{name!r}, which is meant from the top of the folder of pictures"
    if unicodedata.normalize("NFC", name) == unicodedata.normalize("NFC", picture):
        return f"{name!r}, whose umlauts or accents are stored in another Unicode form"
    return f"{name!r} for {picture!r}"


def join_path(place: str, name: str) -> str:
    """Return the path below the pictures of what a file in the folder `place` calls `name`."""
    return posixpath.normpath(posixpath.join(place, name.replace("\\", "/")))


def match_rows(
    frame: pl.DataFrame, folder: str | os.PathLike[str] | None, *, file: object, only_known: bool = False
) -> pl.DataFrame:
    """Write the `image_id` of the pictures below a folder into a table of a side file.

    Parameters
    ----------
    frame
        A table with the column `image_id` (String) as people write it.
    folder
        Folder of pictures; None, or a folder without pictures, leaves the names as they are.
    file
        The side file, for messages.
    only_known
        Whether to leave out the rows whose name matches no picture.

    Returns
    -------
    All rows of `frame`; names that match no picture stay as they are.

    Raises
    ------
    CaptionError
        If no name matches a picture.
    """
    pictures = list_names(folder)
    if not pictures or frame.is_empty():
        return frame
    found = match_names(frame[KEY].drop_nulls().cast(pl.String), pictures, file=file)
    if only_known:
        frame = frame.filter(pl.col(KEY).cast(pl.String).is_in([*found]))
    return frame.with_columns(pl.col(KEY).cast(pl.String).replace(found))


def list_names(folder: str | os.PathLike[str] | None) -> list[str]:
    """List the `image_id` of the pictures below a folder; none if there is no picture."""
    if folder is None:
        return []
    try:
        return list_images(folder)[KEY].to_list()
    except FileNotFoundError:
        return []


def _nearest(names: Sequence[str], pictures: Sequence[str]) -> str:
    """Show some names, each with the most similar picture."""
    by_letters = {letters(picture): picture for picture in pictures[:20_000]}
    shown = []
    for name in names[:N_EXAMPLES]:
        base = posixpath.basename(_without_suffix(name))
        same = [p for p in pictures if posixpath.basename(_without_suffix(p)) == base]
        if len(same) > 1:
            several = " or ".join(map(repr, same[:N_EXAMPLES]))
            shown.append(f"{name!r} (it may be {several}; write the folder or the suffix)")
            continue
        near = get_close_matches(letters(name), by_letters, n=1, cutoff=0.6)
        shown.append(f"{name!r}" + (f" (the nearest is {by_letters[near[0]]!r})" if near else ""))
    more = f" and {len(names) - N_EXAMPLES} more" if len(names) > N_EXAMPLES else ""
    return ", ".join(shown) + more
