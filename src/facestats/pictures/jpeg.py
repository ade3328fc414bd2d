"""Look at the scans of a JPEG: how many there are, and whether they show every component."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCAN, _FRAMES, _ENDS = (
    0xDA,
    {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC},
    (0xD9, 0xD8),
)  # decoders stop at the end marker and at a second start marker
_MAX_MARKERS = 1_000_000  # no real picture has more
# markers that can end the data of a scan; FF 00 is a data byte, FF D0 to FF D7 lie within a scan, and decoders skip
# markers below FF C0
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")


def count_scans(data: bytes, *, enough: int) -> int:
    """Count the scans of a JPEG as a decoder finds them; stop at `enough`. What is no JPEG has none.

    Each scan takes one pass over the picture, even if its data are a few bytes. Real progressive pictures have about
    ten scans, others one to four. Scans in metadata (a thumbnail) or after the end (a preview, a video) do not count.
    """
    scans = 0
    for n, (marker, _) in enumerate(_segments(data)):
        if scans == enough or n == _MAX_MARKERS:
            return enough
        scans += marker == _SCAN
    return scans


def has_all_components(data: bytes) -> bool:
    """Whether each component (brightness, or a colour) of a JPEG has a scan."""
    wanted, found = set(), set()
    for marker, body in _segments(data):
        if marker in _FRAMES:
            wanted = set(body[6::3])
        elif marker == _SCAN:
            found |= set(body[1 : 1 + 2 * body[0] : 2] if body else b"")
            if wanted <= found:
                return bool(wanted)
    return False


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of each segment up to the end of the picture, without the data of the scans."""
    if not data.startswith(b"\xff\xd8"):
        return
    at = 2
    while (found := _MARKER.search(data, at)) is not None and data[found.end() - 1] not in _ENDS:
        at = found.end()
        end = at + int.from_bytes(data[at : at + 2], "big")
        yield data[at - 1], data[at + 2 : end]
        at = end
