"""Paths as text: names that are not UTF-8 are percent-encoded, and found again."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes


def path_text(path: str | os.PathLike[str]) -> str:
    """Write a path as text, as :func:`list_images` does; one that is not UTF-8 is percent-encoded where it must be."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        safe = raw.replace(b"%", b"%25").decode("utf-8", "surrogateescape")
        return re.sub("[\udc80-\udcff]", lambda m: f"%{ord(m[0]) - 0xDC00:02X}", safe)


def picture_path(text: str) -> Path:
    """Turn a `path` of :func:`list_images` back into a path that can be opened."""
    if "%" in text and not os.path.lexists(text):
        return Path(os.fsdecode(unquote_to_bytes(text)))
    return Path(text)
