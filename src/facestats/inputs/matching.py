"""Match the names in a side file (captions, truth, persons, labels, ratings, licence) to the pictures."""

from __future__ import annotations

import logging
import posixpath
import unicodedata
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING
from urllib.parse import unquote

import polars as pl

from facestats.core.tables import KEY
from facestats.inputs.listing import SUFFIXES, list_images
from facestats.inputs.textfiles import CaptionError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Sequence

log = logging.getLogger(__name__)

N_EXAMPLES = 3


def _spelling(name: str) -> str:
    """Reduce what looks the same or means the same path: Unicode forms, %20, backslashes, ./ and outer spaces."""
    return posixpath.normpath(unicodedata.normalize("NFC", unquote(name)).replace("\\", "/").strip()).lstrip(
        "/"
    )


def _letters(name: str) -> str:
    return _spelling(name).casefold()


def _without_suffix(name: str) -> str:
    stem, suffix = posixpath.splitext(_letters(name))
    return stem if suffix in SUFFIXES else f"{stem}{suffix}"


# from the strictest to the loosest; a rule counts only where it leaves one picture
_RULES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("the spelling", _spelling),
    ("capital letters", _letters),
    ("the suffix", _without_suffix),
    ("the folder", lambda name: posixpath.basename(_letters(name))),
    ("the folder and the suffix", lambda name: posixpath.basename(_without_suffix(name))),
)


def match_names(names: Iterable[str], pictures: Sequence[str], *, file: object) -> dict[str, str]:
    """Find the picture that each name means.

    A name that is no `image_id` is matched by the first of these rules that leaves exactly one picture: another
    spelling (Unicode form, ``%20``, backslashes, ``./``), capital letters, a lost or other suffix, another folder. A
    line in the log says how many names were matched by which rule, and which match no picture.

    Parameters
    ----------
    names
        Names in a side file.
    pictures
        The `image_id` of all pictures.
    file
        The side file, for messages.

    Returns
    -------
    The `image_id` of each name that means one picture; other names are left out.

    Raises
    ------
    CaptionError
        If there are names and none of them means a picture; the message shows names and the nearest pictures.
    """
    wanted, known = list(dict.fromkeys(names)), set(pictures)
    found = {name: name for name in wanted if name in known}
    used: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for rule, reduce in _RULES:
        if len(found) == len(wanted):
            break
        places = Counter(map(reduce, pictures))
        by_key = {key: picture for picture in pictures if places[key := reduce(picture)] == 1}
        if (
            "folder" in rule
        ):  # two folders may hold the same name: what another name means already is not taken
            named = set(found.values())
            by_key = {key: picture for key, picture in by_key.items() if picture not in named}
        for name in wanted:
            if name not in found and (picture := by_key.get(reduce(name))) is not None:
                found[name] = picture
                used[rule] += 1
                examples.setdefault(rule, f"{name!r} for {picture!r}")
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


def match_rows(frame: pl.DataFrame, folder: str | os.PathLike[str] | None, *, file: object) -> pl.DataFrame:
    """Write the `image_id` of the pictures below a folder into a table of a side file.

    Parameters
    ----------
    frame
        A table with the column `image_id` (String) as people write it.
    folder
        Folder of pictures; None, or a folder without pictures, leaves the names as they are.
    file
        The side file, for messages.

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
    by_letters = {_letters(picture): picture for picture in pictures[:20_000]}
    shown = []
    for name in names[:N_EXAMPLES]:
        near = get_close_matches(_letters(name), by_letters, n=1, cutoff=0.6)
        shown.append(f"{name!r}" + (f" (the nearest is {by_letters[near[0]]!r})" if near else ""))
    more = f" and {len(names) - N_EXAMPLES} more" if len(names) > N_EXAMPLES else ""
    return ", ".join(shown) + more
