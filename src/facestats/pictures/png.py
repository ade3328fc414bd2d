"""Leave texts out of a PNG that Pillow would refuse, with the whole picture, because they are large."""

from __future__ import annotations

import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
_MAX_TEXT = 1_000_000  # bytes of a text that Pillow still reads
_MAX_TEXTS = 16_000_000  # of all texts together, and of a colour profile
_MAX_WORK = 2 * _MAX_TEXTS  # bytes that are decompressed of one file, to find out how large its texts are


def drop_large_texts(data: bytes) -> tuple[bytes, bytes | None]:
    """Leave texts and colour profiles out of a PNG if they are larger than Pillow allows.

    Returns
    -------
    The PNG, and the colour profile if it was left out. What is no PNG is returned as it is.
    """
    if not data.startswith(_SIGNATURE) or not any(kind in data for kind in _TEXTS):
        return data, None
    profile, left, work = None, _MAX_TEXTS, _MAX_WORK
    parts, kept_from, at = [], 0, len(_SIGNATURE)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind in _TEXTS:
            size, content = _inflate(kind, data[at + 8 : end - 4], limit=work)
            work -= size if kind != b"tEXt" else 0
            if work < 0 or size > min(_MAX_TEXT, left):
                parts.append(data[kept_from:at])
                kept_from = end
                profile = content if kind == b"iCCP" and len(content) <= _MAX_TEXTS else profile
            else:
                left -= size
        at = end
    return (b"".join([*parts, data[kept_from:]]) if parts else data), profile


def _inflate(kind: bytes, body: bytes, *, limit: int) -> tuple[int, bytes]:
    """Return the size of a text, as far as it matters, and the content of a profile; more than `limit` if it is larger."""
    if kind == b"tEXt":
        return len(body), b""
    content = body.partition(b"\0")[2]
    if kind == b"iTXt":
        is_compressed, text = content[:1] == b"\1", content[2:].split(b"\0", 2)[-1]
        if not is_compressed:
            return len(body), b""
        content = b"\0" + text
    limit = max(0, min(limit, _MAX_TEXTS if kind == b"iCCP" else _MAX_TEXT))
    try:
        found = zlib.decompressobj().decompress(content[1:], limit + 1)
    except zlib.error:  # Pillow knows what to do with it
        return 0, b""
    return len(found), found if kind == b"iCCP" else b""
