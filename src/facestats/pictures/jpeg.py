"""How often a JPEG passes over its pixels: a file of kilobytes may ask for minutes of decoding."""

from __future__ import annotations

import re

_SCAN, _ENDS = 0xDA, (0xD9, 0xD8)  # at a second start, decoders give up
_MARKERS = 1_000_000  # more of them are in no picture
# what can end the data of a scan; FF 00 is a byte of data, D0 to D7 lie within a scan, and what is below C0 is skipped
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")


def count_scans(data: bytes, *, enough: int) -> int:
    """Count the scans of a JPEG as a decoder meets them, not beyond `enough`.

    Every scan costs a pass over the picture, be its data a few bytes: an honest progressive picture has about ten,
    any other one to four. What lies in metadata (a thumbnail) or behind the end (a preview, a video) does not count.
    """
    if not data.startswith(b"\xff\xd8"):
        return 0
    scans, at = 0, 2
    for _ in range(_MARKERS):
        found = _MARKER.search(data, at)
        if found is None or data[found.end() - 1] in _ENDS or scans == enough:
            return scans
        at = found.end()
        scans += data[at - 1] == _SCAN
        at += int.from_bytes(data[at : at + 2], "big")
    return enough
