"""Files of aligned crops: name them, read them, reduce them to thumbnails."""

from __future__ import annotations

import hashlib
import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import polars as pl

from facestats.core.workers import cpu_count
from facestats.pictures.decode import MAX_PIXELS, PictureError, open_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

# crops with a name from `crop_name`, and the temporary files of killed workers; no other file is ever removed
CROP_FILE = re.compile(r".+\.[0-9a-f]{8}\.jpg|\.[0-9a-f]{16}\.\d+\.tmp", re.DOTALL)
_MAX_NAME_BYTES = 255  # limit of all common file systems


def crop_name(image_id: str, content: bytes) -> str:
    """Return the posix path of a crop below `crops_dir`; it is unique for this picture and this crop.

    The path is `image_id`, a hash of the crop's `content`, and `.jpg`. Thus the crops of `a.png` and `a.jpg` differ,
    and a crop of another size does not overwrite the crop that a stored table names. A hash replaces `image_id` where
    the path would be too long, leave the folder, or use the name of a crop as the name of a folder.
    """
    end = f".{hashlib.blake2b(content, digest_size=4).hexdigest()}.jpg"
    path = PurePosixPath(image_id + end)
    inside = str(path) == image_id + end and not path.is_absolute() and ".." not in path.parts
    short = all(len(os.fsencode(part)) <= _MAX_NAME_BYTES for part in path.parts)
    in_crop = any(part.endswith(".jpg") for part in path.parts[:-1])
    if inside and short and not in_crop:
        return image_id + end
    return hashlib.sha256(os.fsencode(image_id)).hexdigest() + end


def open_crop(path: Path, *, at_least: int | None = None) -> Image:
    """Open a crop; raise ValueError if it cannot be read. `at_least` is that of :func:`decode_picture`."""
    try:
        return open_picture(path, at_least=at_least).image
    except PictureError as error:
        msg = f"crop {path}: {error}. Align the faces again (notebooks/01_faces.ipynb)."
        raise ValueError(msg) from error


def read_thumbnails(
    crops: Sequence[str | None], crops_dir: str | os.PathLike[str], *, side: int
) -> list[bytes | None]:
    """Reduce crops to JPEGs of at most `side` pixels.

    Parameters
    ----------
    crops
        Posix paths below `crops_dir`; None where there is no crop.
    crops_dir
        Folder of the crops.
    side
        Longer side of a thumbnail in pixels.

    Returns
    -------
    The encoded JPEGs, None where there is no crop.

    Raises
    ------
    ValueError
        If a crop cannot be read.
    """

    def reduce(name: str | None) -> bytes | None:
        if name is None:
            return None
        image = open_crop(Path(crops_dir) / name, at_least=side)
        image.thumbnail((side, side))
        buffer = io.BytesIO()
        image.save(buffer, format="JPEG", quality=80)
        return buffer.getvalue()

    with ThreadPoolExecutor(cpu_count()) as pool:
        return list(pool.map(reduce, crops))


def accepted_pixels(faces: pl.DataFrame) -> list[int]:
    """Return the pixel limit for each row of the faces table: at least the size that stage 01 accepted."""
    if not {"width", "height"} <= set(faces.columns):
        return [MAX_PIXELS] * faces.height
    area = pl.col("width").cast(pl.Int64) * pl.col("height").cast(pl.Int64)
    return faces.select(pl.max_horizontal(area.fill_null(0), pl.lit(MAX_PIXELS)))["width"].to_list()
