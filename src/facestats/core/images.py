"""List and decode pictures from anywhere, trusted or not.

The rules, each measured against thousands of hostile files: Pillow alone decodes, from an allow-list of
formats; the size is checked before a pixel is loaded; pictures come upright, in RGB, 8 bits, first frame.
Whoever decodes untrusted bytes does so in a worker process (`core.workers`) that may die.
"""

from __future__ import annotations

import io
import os
import re
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import numpy as np
import polars as pl

from facestats.core.tables import KEY, STATUS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".jpg_large",
        ".png",
        ".apng",
        ".webp",
        ".gif",
        ".bmp",
        ".dib",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".avif",
        ".heic",
        ".heif",
        ".jxl",
        ".jp2",
        ".psd",
        ".ico",
        ".tga",
        ".pcx",
        ".svg",
        ".eps",
    ]
)
MAX_PIXELS = 50_000_000
MAX_BYTES = 100_000_000
MIN_SIDE = 16
_MATTE = (128, 128, 128)  # transparent pixels lie on mid-grey, whatever colour hides beneath them

# first bytes of what is found under a picture's name (WHATWG MIME Sniffing; ISO 14496-12 for ftyp)
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (rb"\xff\xd8\xff|\x89PNG|GIF8|BM|II\*\0|MM\0\*|RIFF....WEBP|P[1-6]\s", "picture", "a picture"),
    (rb"....ftyp(avif|avis)", "picture", "an AVIF picture"),
    (rb"....ftyp(heic|heix|heif|hevc|mif1|msf1)", "unsupported_format", "a HEIC picture"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "unsupported_format", "a JPEG XL picture"),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", "unsupported_format", "a JPEG 2000 picture"),
    (rb"8BPS", "unsupported_format", "a Photoshop file"),
    (rb"\0\0\x01\0", "unsupported_format", "an icon file"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "unsupported_format", "a PostScript file"),
    (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!DOCTYPE svg|<svg)", "unsupported_format", "an SVG drawing"),
    (rb"\s*<(!doctype html|html|head|body)", "not_image", "an HTML page, probably a failed download"),
    (rb"%PDF", "not_image", "a PDF document"),
    (rb"....ftyp", "not_image", "a video"),
    (rb"PK\x03\x04", "not_image", "a zip archive"),
    (rb"\x1f\x8b", "not_image", "a gzip archive"),
    (rb"\x7fELF|MZ", "not_image", "a program"),
    (rb"\x80[\x02-\x05]", "not_image", "a Python pickle"),
)


class PictureError(ValueError):
    """A picture that cannot be used; `status` is one of `tables.STATUSES`, the text names the cause."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Picture:
    """A decoded picture: `image` upright RGB, `format` as Pillow names it, `status` ok or ok_first_frame."""

    image: Image.Image
    format: str
    status: str


def list_images(folder: str | os.PathLike[str], *, follow_links: bool = False) -> pl.DataFrame:
    """List every picture below `folder`, in the order of its key; opens none of them.

    A file counts by its suffix, or by its first bytes where the suffix is unknown; hidden files do not
    count. Nothing is written into `folder`.

    Parameters
    ----------
    folder
        Folder to walk, nested folders included.
    follow_links
        Whether to accept symbolic links that leave `folder`.

    Returns
    -------
    `image_id` (String, posix path below `folder`; bytes that are not UTF-8 are percent-encoded), `path`
    (String), `bytes` and `mtime_ns` (Int64: a picture is done again when one of them changes), `status`
    and `error` (null unless the file cannot even be opened: a pipe, a broken link, ...).

    Raises
    ------
    FileNotFoundError
        If `folder` does not exist or holds no picture.
    """
    root = Path(folder)
    if not root.is_dir():
        msg = f"{root} is not a folder. Put your pictures there, or set raw_dir in the configuration."
        raise FileNotFoundError(msg)
    rows, others = [], 0
    for path, info in _walk(root.resolve(), follow_links=follow_links):
        row = _list_row(root, path, info)
        others += row is None
        if row is not None:
            rows.append(row)
    if not rows:
        msg = f"no picture found in {root} ({others} other files). Check raw_dir in the configuration."
        raise FileNotFoundError(msg)
    schema = {
        KEY: pl.String,
        "path": pl.String,
        "bytes": pl.Int64,
        "mtime_ns": pl.Int64,
        "status": STATUS,
        "error": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").sort(KEY)


def picture_path(text: str) -> Path:
    """Turn a `path` of :func:`list_images` back into a path that can be opened."""
    path = Path(text)
    if "%" in text and not os.path.lexists(path):
        path = Path(os.fsdecode(unquote_to_bytes(text)))
    return path


def read_picture_bytes(path: Path) -> bytes:
    """Read a file that may be anything; raises PictureError with the status to store."""
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode):
            raise PictureError("not_regular_file", f"{_kind(info.st_mode)}, not a regular file")
        if info.st_size == 0:
            raise PictureError("empty", "file has 0 bytes; download or copy it again")
        if info.st_size > MAX_BYTES:
            text = f"file has {info.st_size / 1e6:.0f} MB, limit {MAX_BYTES / 1e6:.0f} MB; make it smaller"
            raise PictureError("too_large", text)
        data = path.read_bytes()
        after = path.stat()
    except FileNotFoundError as error:
        raise PictureError("vanished", "file was listed, but is gone") from error
    except PermissionError as error:
        raise PictureError("permission_denied", "no permission to read the file") from error
    except OSError as error:
        raise PictureError("unreadable", f"the system could not read the file: {error.strerror}") from error
    if (after.st_size, after.st_mtime_ns) != (info.st_size, info.st_mtime_ns) or len(data) != info.st_size:
        raise PictureError("changed_during_run", "file changed while it was read; run again")
    return data


def decode_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode bytes into an upright 8-bit RGB picture.

    Parameters
    ----------
    data
        Content of a picture file in one of `FORMATS`.
    max_pixels
        Width times height above which the picture is refused before a pixel is loaded.

    Raises
    ------
    PictureError
        With the status to store and a sentence naming the cause.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise PictureError("empty", "file has 0 bytes; download or copy it again")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; pixels are never lost to metadata
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                _check_size(image.size, max_pixels)
                frames = getattr(image, "n_frames", 1)
                image.load()
                rgb = _to_rgb(_upright(image))
                kind = image.format or "unknown"
        except UnidentifiedImageError as error:
            raise _unidentified(data) from error
        except Image.DecompressionBombError as error:
            raise PictureError("too_large", f"{error}; limit {max_pixels / 1e6:g} MP") from error
        except MemoryError as error:
            raise PictureError("decode_memory", "not enough memory to decode the picture") from error
        except PictureError:
            raise
        except (OSError, ValueError, SyntaxError, NotImplementedError, RuntimeError, OverflowError) as error:
            raise _broken(error) from error
    # an MPO is a photograph with a preview behind it, not an animation
    return Picture(rgb, kind, "ok_first_frame" if frames > 1 and kind != "MPO" else "ok")


def open_picture(path: str | os.PathLike[str]) -> Picture:
    """Read and decode one picture file; see :func:`decode_picture`."""
    return decode_picture(read_picture_bytes(Path(path)))


def _walk(root: Path, *, follow_links: bool) -> Iterator[tuple[Path, os.stat_result | None]]:
    """Yield every visible file below `root` once, with its lstat (None: a link to nothing or outside)."""
    seen: set[tuple[int, int]] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        info = folder.stat()
        if (info.st_dev, info.st_ino) in seen:
            continue
        seen.add((info.st_dev, info.st_ino))
        for entry in os.scandir(folder):
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not (follow_links or path.resolve().is_relative_to(root)):
                yield path, None
            elif entry.is_dir():
                folders.append(path)
            else:
                yield path, path.stat() if path.exists() else None


def _list_row(root: Path, path: Path, info: os.stat_result | None) -> tuple | None:
    """One row of the listing, or None if the file is no picture."""
    known = path.suffix.lower() in SUFFIXES
    if not known and (info is None or not stat.S_ISREG(info.st_mode) or not _looks_like_picture(path)):
        return None
    name = _text(os.fsencode(path.relative_to(root.resolve()).as_posix()))
    where = _text(os.fsencode(root)) + "/" + name
    if info is None:
        gone = not path.exists()
        status = "unreadable" if gone else "not_regular_file"
        error = "link points to nothing" if gone else "link leaves the folder of pictures; see follow_links"
        return name, where, 0, 0, status, error
    if not stat.S_ISREG(info.st_mode):
        return name, where, 0, 0, "not_regular_file", f"{_kind(info.st_mode)}, not a regular file"
    return name, where, info.st_size, info.st_mtime_ns, None, None


def _text(raw: bytes) -> str:
    """Decode a file name; bytes that are not UTF-8 are percent-encoded."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        safe = raw.replace(b"%", b"%25").decode("utf-8", "surrogateescape")
        return re.sub("[\udc80-\udcff]", lambda m: f"%{ord(m[0]) - 0xDC00:02X}", safe)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "a folder" if stat.S_ISDIR(mode) else "a special file")


def _looks_like_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _sniff(file.read(512))[0] == "picture"
    except OSError:
        return False


def _sniff(head: bytes) -> tuple[str, str]:
    for pattern, status, text in _MAGIC:
        if re.match(pattern, head[:512], re.DOTALL | re.IGNORECASE):
            return status, text
    printable = sum(32 <= b < 127 or b in b"\t\n\r" or b >= 0xC2 for b in head)
    return ("not_image", "text") if printable == len(head) else ("not_image", "no known kind of picture")


def _unidentified(data: bytes) -> PictureError:
    status, text = _sniff(data[:512])
    if status == "picture":
        return PictureError("corrupt", f"starts like {text}, but its header is broken; copy it again")
    fix = {"a HEIC picture": "; convert it to JPEG"}.get(text, "")
    return PictureError(status, f"the file is {text}{fix or '; accepted are ' + ', '.join(FORMATS)}")


def _broken(error: Exception) -> PictureError:
    text = "".join(c if c.isprintable() else " " for c in str(error))[:200]
    if "truncated" in text or "Truncated" in text or "unrecognized data stream" in text:
        return PictureError("truncated", f"the picture ends early ({text}); copy it again")
    return PictureError("corrupt", f"the picture is broken ({text}); copy it again")


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        text = (
            f"{width}x{height} = {width * height / 1e6:.0f} MP, limit {max_pixels / 1e6:g} MP; scale it down"
        )
        raise PictureError("too_large", text)
    if min(size) < MIN_SIDE:
        raise PictureError("too_small", f"{width}x{height} pixels, the shorter side needs {MIN_SIDE}")


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, ZeroDivisionError, OverflowError):
        return image  # broken metadata never costs the pixels


def _to_rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I"):
        levels = np.asarray(image).astype(np.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise PictureError(
                "unsupported_format", "32-bit grey levels beyond 65535; save it with 8 or 16 bits"
            )
        # 65535 / 257 = 255: Pillow's own convert would clip instead of scaling
        image = Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    if image.mode in {"F", "LAB", "HSV"}:
        raise PictureError("unsupported_format", f"pixels of mode {image.mode}; save it as 8-bit RGB")
    if image.has_transparency_data:
        front = image.convert("RGBA")
        back = Image.new("RGBA", front.size, (*_MATTE, 255))
        return Image.alpha_composite(back, front).convert("RGB")
    return image.convert("RGB")
