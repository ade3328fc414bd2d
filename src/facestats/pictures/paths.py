"""Write paths as text and read them back; bytes that are not UTF-8 are percent-encoded."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote_to_bytes


def path_text(path: str | os.PathLike[str]) -> str:
    """Write a path as text; if it is not UTF-8, percent-encode the offending bytes and each percent sign."""
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        safe = raw.replace(b"%", b"%25").decode("utf-8", "surrogateescape")
        return re.sub("[\udc80-\udcff]", lambda m: f"%{ord(m[0]) - 0xDC00:02X}", safe)


def picture_path(text: str) -> Path:
    """Turn the text of :func:`path_text` back into a path that can be opened."""
    if "%" in text and not os.path.lexists(text):
        return Path(os.fsdecode(unquote_to_bytes(text)))
    return Path(text)
