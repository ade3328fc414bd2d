"""Aligned crops as files: their names, and reading them."""

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

# crops as `crop_name` names them, and what a killed worker was writing: nothing else is ever removed
CROP_FILE = re.compile(r".+\.[0-9a-f]{8}\.jpg|\.[0-9a-f]{16}\.\d+\.tmp", re.DOTALL)
_LONGEST_NAME = 255  # bytes, on all common file systems


def crop_name(image_id: str, content: bytes) -> str:
    """Posix path of a crop below `crops_dir`; different pictures, and different crops of one, never share one.

    The name is the picture's with a hash of the crop's `content` and `.jpg` behind it: `a.png` and `a.jpg` differ,
    and a crop of another size leaves the one alone that a stored table names. Where that would be too long, lead
    out of the folder, or be a folder of other crops, a hash stands for the picture's name.
    """
    end = f".{hashlib.blake2b(content, digest_size=4).hexdigest()}.jpg"
    path = PurePosixPath(image_id + end)
    plain = str(path) == image_id + end and not path.is_absolute() and ".." not in path.parts
    short = all(len(os.fsencode(part)) <= _LONGEST_NAME for part in path.parts)
    clear = not any(part.endswith(".jpg") for part in path.parts[:-1])
    if plain and short and clear:
        return image_id + end
    return hashlib.sha256(os.fsencode(image_id)).hexdigest() + end


def open_crop(path: Path, *, at_least: int | None = None) -> Image:
    """Open a crop; one that cannot be read is a ValueError that says what to run."""
    try:
        return open_picture(path, at_least=at_least).image
    except PictureError as error:
        msg = f"crop {path}: {error}. Align the faces again (notebooks/01_faces.ipynb)."
        raise ValueError(msg) from error


def read_thumbnails(
    crops: Sequence[str | None], crops_dir: str | os.PathLike[str], *, side: int
) -> list[bytes | None]:
    """Reduce crops to JPEGs of at most `side` pixels; None where there is no crop.

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
    """Limit of pixels for each row of the faces table: what stage 01 let through is let through again."""
    if not {"width", "height"} <= set(faces.columns):
        return [MAX_PIXELS] * faces.height
    area = pl.col("width").cast(pl.Int64) * pl.col("height").cast(pl.Int64)
    return faces.select(pl.max_horizontal(area.fill_null(0), pl.lit(MAX_PIXELS)))["width"].to_list()
