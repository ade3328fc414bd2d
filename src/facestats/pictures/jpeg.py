"""Count the scans of a JPEG: a file of a few kilobytes can take minutes to decode."""

from __future__ import annotations

import re

_SCAN, _ENDS = 0xDA, (0xD9, 0xD8)  # decoders stop at the end marker and at a second start marker
_MAX_MARKERS = 1_000_000  # no real picture has more
# markers that can end the data of a scan; FF 00 is a data byte, FF D0 to FF D7 lie within a scan, and decoders skip
# markers below FF C0
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")


def count_scans(data: bytes, *, enough: int) -> int:
    """Count the scans of a JPEG as a decoder finds them; stop at `enough`.

    Each scan takes one pass over the picture, even if its data are a few bytes. Real progressive pictures have about
    ten scans, others one to four. Scans in metadata (a thumbnail) or after the end (a preview, a video) do not count.
    """
    if not data.startswith(b"\xff\xd8"):
        return 0
    scans, at = 0, 2
    for _ in range(_MAX_MARKERS):
        found = _MARKER.search(data, at)
        if found is None or data[found.end() - 1] in _ENDS or scans == enough:
            return scans
        at = found.end()
        scans += data[at - 1] == _SCAN
        at += int.from_bytes(data[at : at + 2], "big")
    return enough
