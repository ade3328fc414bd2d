"""Tell what a file is by its first bytes or its kind in the file system, and why it is no usable picture."""

from __future__ import annotations

import re
import stat

# first bytes of files that occur among pictures (WHATWG MIME Sniffing; ISO 14496-12 for ftyp)
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM.{4}\0{4}|II\*\0|MM\0\*|RIFF....WEBP", "picture", "a picture"),
    (rb"P[1-6]\s+(\d|#)", "picture", "a PPM picture"),
    (rb"....ftyp(avif|avis)", "picture", "an AVIF picture"),
    (rb"....ftyp(he[iv][cmsxf]|mif1|msf1)", "picture", "a HEIC picture"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "unsupported_format", "a JPEG XL picture"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "unsupported_format", "a JPEG 2000 picture"),
    (rb"8BPS", "unsupported_format", "a Photoshop file"),
    (rb"\0\0\x01\0", "unsupported_format", "an icon file"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "unsupported_format", "a PostScript file"),
    (
        rb"(?i)\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg|<svg)",
        "unsupported_format",
        "an SVG drawing",
    ),
    (rb"(?i)\s*<(!doctype html|html|head|body)", "not_image", "an HTML page, probably a failed download"),
    (rb"%PDF", "not_image", "a PDF document"),
    (rb"....ftyp", "not_image", "a video"),
    (rb"PK\x03\x04", "not_image", "a zip archive"),
    (rb"\x1f\x8b", "not_image", "a gzip archive"),
    (rb"\x7fELF|MZ", "not_image", "a program"),
    (rb"\x80[\x02-\x05]", "not_image", "a Python pickle"),
)


class PictureError(ValueError):
    """A picture cannot be used; `status` is one of `tables.STATUSES`, the message names the cause."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


def kind_of_file(mode: int) -> str:
    """Name the kind of a file that is not a regular file, from its `st_mode`."""
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "a folder" if stat.S_ISDIR(mode) else "a special file")


def sniff(head: bytes) -> tuple[str, str]:
    """Identify a file by its first bytes: return `picture`, or the status of another kind of file, and its name."""
    for pattern, status, text in _MAGIC:
        if re.match(pattern, head, re.DOTALL):
            return status, text
    return "not_image", "text" if _is_text(head) else "no known kind of picture"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a later error is a character that is cut at the end
            return False
        text = head[: error.start].decode("utf-8-sig")
    return all(c.isprintable() or c.isspace() for c in text)
