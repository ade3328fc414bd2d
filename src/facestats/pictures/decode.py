"""Decode pictures from any source, trusted or not.

These rules were tested with thousands of hostile files. Only Pillow decodes, and only the formats of an allow-list;
HEIC and HEIF are decoded by pillow-heif, if it is installed.
The size is checked before any pixel is loaded. The result is upright, RGB, 8 bits, and the first frame.
Untrusted bytes must be decoded in a worker process (`core.workers`), because the decoder may crash.
"""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from facestats.pictures.jpeg import count_scans, has_all_components
from facestats.pictures.kinds import PictureError, kind_of_file, sniff
from facestats.pictures.png import drop_large_texts
from facestats.pictures.srgb import to_srgb, uses_few_levels

if TYPE_CHECKING:
    import os

    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
MAX_PIXELS = 50_000_000
MAX_BYTES = 100_000_000
MIN_SIDE = 16
_BMP_RLE4 = 2  # value of the header's field compression
MAX_SCANNED = 5_000_000_000  # pixels times scans of a JPEG: about 5 s of decoding, 100 scans of 50 MP
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
_UNFINISHED = "image file is truncated"  # what Pillow says if the end of the pixels is not reached
_JPEG_END = b"\xff\xd9"
_JUNK = b"\xaa" * 64  # bits that a decoder reads as pixels; at the end of a file it reads zeros
# what Pillow says of a correct file that it cannot read
_UNSUPPORTED = (
    "nsupported",
    "not supported",
    "unknown pixel mode",
    "unknown data organization",
    "unknown compression",
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


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Parameters
    ----------
    image
        The pixels, upright, 8-bit sRGB.
    format
        In Pillow's terms.
    status
        ok or ok_first_frame.
    icc_profile
        Name of the colour profile that the file has; None if it has none, or a broken one.
    """

    image: Image.Image
    format: str
    status: str
    icc_profile: str | None = None


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
    """Decode bytes into an upright picture in 8-bit sRGB.

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
            return _decode(data, max_pixels, at_least)
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
            found = _decode_without_end(data, max_pixels, at_least) if _UNFINISHED in str(error) else None
            if found is None:
                raise _broken(data, error) from error
            return found


def _decode(data: bytes, max_pixels: int, at_least: int | None) -> Picture:
    from PIL import Image

    data, profile = drop_large_texts(data)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        _check_size(image.size, max_pixels)
        _check_scans(data, image.size)
        _check_bmp(image)
        kind, animated = image.format or "unknown", _is_animated(image)
        was_deep = ";16" in str([tile.args for tile in image.tile])
        if at_least:
            image.draft(None, (at_least, at_least))
        image.load()
        if profile is not None:
            image.info["icc_profile"] = profile
        _turn_upright(image)
        if uses_few_levels(image, was_deep=was_deep):
            text = "its colours use only 12 of their 16 bits and would be black; save the picture with 8 bits"
            raise PictureError(status="unsupported_format", text=text)
        rgb, name = to_srgb(image)
    # an MPO is a photograph followed by a preview, not an animation
    return Picture(rgb, kind, "ok_first_frame" if animated and kind != "MPO" else "ok", name)


def _decode_without_end(data: bytes, max_pixels: int, at_least: int | None) -> Picture | None:
    """Decode a JPEG that lacks nothing but its end marker; None if it lacks more.

    The decoder makes pixels of whatever follows, as long as one is missing: the picture is complete if they do not depend
    on it.
    """
    if not has_all_components(data):
        return None
    with suppress(*_BROKEN):
        ends = (_JPEG_END, _JUNK + _JPEG_END)
        first, second = (_decode(data.rstrip(b"\xff") + end, max_pixels, at_least) for end in ends)
        return first if first.image.tobytes() == second.image.tobytes() else None
    return None


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
        return to_srgb(upright)[0]
    except PictureError:
        raise
    except _BROKEN as error:
        text = (
            f"the pixels of the image cannot be read ({error}); open it again, or give the path of its file"
        )
        raise PictureError(status="corrupt", text=text) from error


def _unidentified(data: bytes) -> PictureError:
    status, text = sniff(data[:512])
    if status != "picture":
        return PictureError(
            status=status, text=f"the file is {text}; accepted are {', '.join(FORMATS)}, HEIC"
        )
    if (reason := _why_unidentified(data)) is not None:
        return _unsupported(reason)
    return PictureError(status="corrupt", text=f"starts like {text}, but its header is broken; copy it again")


def _why_unidentified(data: bytes) -> str | None:
    """Return what the reader of the format says of a kind of picture that it does not know, if that is the reason."""
    from PIL import Image

    for kind in FORMATS:
        read, accepts = Image.OPEN[kind]
        if accepts is None or accepts(data[:16]):
            try:
                read(io.BytesIO(data), "")
            except _BROKEN as error:
                if any(words in str(error) for words in _UNSUPPORTED):
                    return str(error)
    return None


def _unsupported(reason: str) -> PictureError:
    text = f"this kind of picture is not supported ({_one_line(reason)}); save it as PNG or JPEG"
    return PictureError(status="unsupported_format", text=text)


def _one_line(said: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(said))[:200]


def _broken(data: bytes, error: Exception) -> PictureError:
    if sniff(data[:512])[0] != "picture":  # a text can start like a picture
        return _unidentified(data)
    text = _one_line(error)
    if any(words in text for words in _UNSUPPORTED):
        return _unsupported(text)
    if any(words in text for words in _TRUNCATED):
        return PictureError(status="truncated", text=f"the picture ends early ({text}); copy it again")
    return PictureError(status="corrupt", text=f"the picture is broken ({text}); copy it again")


def _check_bmp(image: Image.Image) -> None:
    """Refuse a BMP of 4 bits with run lengths, which Pillow reads wrongly: it skips the last pixel of odd runs."""
    if image.format == "BMP" and image.info.get("compression") == _BMP_RLE4:
        raise _unsupported(reason="BMP with 4 bits and run lengths")


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
    rgb, name = to_srgb(heif.to_pillow())
    return Picture(rgb, "HEIF", "ok_first_frame" if len(heif) > 1 else "ok", name)


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
