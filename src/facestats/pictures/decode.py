"""Decode pictures from any source, trusted or not.

These rules were tested with thousands of hostile files. Only Pillow decodes, and only the formats of an allow-list;
HEIC and HEIF are decoded by pillow-heif, if it is installed.
The size is checked before any pixel is loaded. The result is upright, RGB, 8 bits, and the first frame.
Untrusted bytes must be decoded in a worker process (`core.workers`), because the decoder may crash.
"""

from __future__ import annotations

import io
import re
import stat
import struct
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facestats.pictures.jpeg import count_scans

if TYPE_CHECKING:
    import os

    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
MAX_PIXELS = 50_000_000
MAX_BYTES = 100_000_000
MIN_SIDE = 16
MAX_SCANNED = 5_000_000_000  # pixels times scans of a JPEG: about 5 s of decoding, 100 scans of 50 MP
_MATTE = (128, 128, 128)  # mid-grey replaces transparent pixels, whose own colour is arbitrary

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

# exceptions of Pillow on broken files, found with thousands of them; MemoryError and bombs are handled before
_BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
# what Pillow and libheif say of a file that ends early
_TRUNCATED = (
    "truncated",
    "Truncated",
    "unrecognized data stream",
    "end of file",
    "outside of file bounds",
    "File size too small",
    "Insufficient input data",
    "Cannot read full meta box",
)


class PictureError(ValueError):
    """A picture cannot be used; `status` is one of `tables.STATUSES`, the message names the cause."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Picture:
    """A decoded picture: an upright RGB `image`, the `format` in Pillow's terms, `status` ok or ok_first_frame."""

    image: Image.Image
    format: str
    status: str


def read_picture_bytes(path: Path) -> bytes:
    """Read a file of any kind; raise PictureError with the status to store if it is not a readable regular file."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise PictureError(
                status="not_regular_file", text=f"{kind_of_file(info.st_mode)}, not a regular file"
            )
        if info.st_size == 0:
            raise PictureError(status="empty", text="file has 0 bytes; download or copy it again")
        if info.st_size > MAX_BYTES:
            text = f"file has {info.st_size / 1e6:.0f} MB, limit {MAX_BYTES / 1e6:.0f} MB; make it smaller"
            raise PictureError(status="too_large", text=text)
        data = path.read_bytes()
        after = path.stat()
    except FileNotFoundError as error:
        raise PictureError(status="vanished", text="file was listed, but does not exist any more") from error
    except PermissionError as error:
        raise PictureError(
            status="permission_denied", text="no permission to read the file; allow it and run again"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: an impossible path
        if isinstance(error, PictureError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise PictureError(
            status="unreadable", text=f"the system could not read the file: {reason}"
        ) from error
    if (after.st_size, after.st_mtime_ns) != (info.st_size, info.st_mtime_ns) or len(data) != info.st_size:
        raise PictureError(status="changed_during_run", text="file changed while it was read; run again")
    return data


def decode_picture(data: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Picture:
    """Decode bytes into an upright 8-bit RGB picture.

    Parameters
    ----------
    data
        Content of a picture file in one of `FORMATS`, or in HEIC or HEIF if pillow-heif is installed.
    max_pixels
        Largest width times height; a larger picture is refused before any pixel is loaded.
    at_least
        Shorter side in pixels that is sufficient. A JPEG is then reduced by 2, 4 or 8 while it is decoded (in the
        frequency domain, Pillow's draft mode), which takes a fraction of the time. None decodes in full size.

    Returns
    -------
    The picture.

    Raises
    ------
    PictureError
        With the status to store, and a message that names the cause.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise PictureError(status="empty", text="file has 0 bytes; download or copy it again")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of broken metadata, which does not affect the pixels
        try:
            if _is_heif(data):
                return _decode_heif(data, max_pixels)
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.size, max_pixels)
                _check_scans(data, image.size)
                kind, animated = image.format or "unknown", _is_animated(image)
                if at_least:
                    image.draft(None, (at_least, at_least))
                image.load()
                _turn_upright(image)
                rgb = _to_rgb(image)
        except UnidentifiedImageError as error:
            raise _unidentified(data) from error
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
            text = f"the picture has more than {most} MP, limit {max_pixels / 1e6:g} MP; scale it down"
            raise PictureError(status="too_large", text=text) from error
        except MemoryError as error:
            raise PictureError(
                status="decode_memory", text="not enough memory to decode the picture; make it smaller"
            ) from error
        except PictureError:
            raise
        except _BROKEN as error:
            raise _broken(data, error) from error
    # an MPO is a photograph followed by a preview, not an animation
    return Picture(rgb, kind, "ok_first_frame" if animated and kind != "MPO" else "ok")


def open_picture(
    path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS, at_least: int | None = None
) -> Picture:
    """Read and decode one picture file; see :func:`decode_picture`."""
    return decode_picture(read_picture_bytes(Path(path)), max_pixels=max_pixels, at_least=at_least)


def make_upright_rgb(image: Image.Image) -> Image.Image:
    """Turn a Pillow image into what :func:`decode_picture` makes of its file: upright, RGB, 8 bits.

    Raises
    ------
    PictureError
        If the image is too large or too small, or its pixels cannot be read.
    """
    from PIL import ImageOps

    _check_size(image.size, MAX_PIXELS)
    try:
        image.load()
        upright = image
        with suppress(*_BROKEN):  # an image with broken metadata is still used, as it is
            upright = ImageOps.exif_transpose(image)
        return _to_rgb(upright)
    except PictureError:
        raise
    except _BROKEN as error:
        text = (
            f"the pixels of the image cannot be read ({error}); open it again, or give the path of its file"
        )
        raise PictureError(status="corrupt", text=text) from error


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


def _unidentified(data: bytes) -> PictureError:
    status, text = sniff(data[:512])
    if status == "picture":
        return PictureError(
            status="corrupt", text=f"starts like {text}, but its header is broken; copy it again"
        )
    return PictureError(status=status, text=f"the file is {text}; accepted are {', '.join(FORMATS)}, HEIC")


def _broken(data: bytes, error: Exception) -> PictureError:
    if sniff(data[:512])[0] != "picture":  # a text can start like a picture
        return _unidentified(data)
    text = "".join(c if c.isprintable() else " " for c in str(error))[:200]
    if any(words in text for words in _TRUNCATED):
        return PictureError(status="truncated", text=f"the picture ends early ({text}); copy it again")
    return PictureError(status="corrupt", text=f"the picture is broken ({text}); copy it again")


def _is_heif(data: bytes) -> bool:
    """Whether a file is a HEIC or HEIF picture; some AVIF pictures start alike, and Pillow reads those."""
    if sniff(data[:12])[1] != "a HEIC picture":
        return False
    end = min(int.from_bytes(data[:4], "big"), 256)  # of the box that lists what the file is compatible with
    return not {b"avif", b"avis"} & {data[i : i + 4] for i in range(8, end, 4)}


def _decode_heif(data: bytes, max_pixels: int) -> Picture:
    """Decode the main picture of a HEIC file; the decoder turns it upright, and its EXIF orientation counts no more."""
    try:
        from pillow_heif import open_heif
    except ImportError as error:
        text = (
            "the file is a HEIC picture; to read it, type: pip install 'facestats[heic]' (then add --retry-failed to"
            " facestats run), or convert it to JPEG"
        )
        raise PictureError(status="unsupported_format", text=text) from error
    heif = open_heif(io.BytesIO(data))
    _check_size(heif.size, max_pixels)
    return Picture(_to_rgb(heif.to_pillow()), "HEIF", "ok_first_frame" if len(heif) > 1 else "ok")


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        text = (
            f"the picture has {width}x{height} = {width * height / 1e6:.0f} MP, limit {max_pixels / 1e6:g} MP;"
            " scale it down"
        )
        raise PictureError(status="too_large", text=text)
    if min(size) < MIN_SIDE:
        raise PictureError(
            status="too_small",
            text=f"the picture has {width}x{height} pixels, the shorter side needs {MIN_SIDE}; use a larger copy",
        )


def _check_scans(data: bytes, size: tuple[int, int]) -> None:
    width, height = size
    most = MAX_SCANNED // max(width * height, 100_000)  # a scan of a tiny picture takes time as well
    if count_scans(data, enough=most + 1) > most:
        text = f"the picture has {width}x{height} pixels in more than {most} scans, too slow to decode; save it anew"
        raise PictureError(status="too_large", text=text)


def _is_animated(image: Image.Image) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except _BROKEN:
        return False  # later frames are broken, but only the first one is used


def _turn_upright(image: Image.Image) -> None:
    """Apply the EXIF orientation in place, because a copy of a photograph costs as much as its decoding."""
    from PIL import ImageOps

    # a picture with broken metadata is still used, as it is
    with suppress(*_BROKEN):
        ImageOps.exif_transpose(image, in_place=True)


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I"):
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise PictureError(
                status="unsupported_format",
                text="the picture has grey levels outside 0 to 65535; save it with 8 or 16 bits",
            )
        # 65535 / 257 = 255; Pillow's convert clips the values instead of scaling them
        image = Image.fromarray(((levels.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.mode in {"F", "LAB", "HSV"}:
        raise PictureError(
            status="unsupported_format",
            text=f"the pixels have mode {image.mode}; save the picture as 8-bit RGB",
        )
    if image.has_transparency_data:
        front = image.convert("RGBA")
        back = Image.new("RGBA", front.size, (*_MATTE, 255))
        return Image.alpha_composite(back, front).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
