"""Files of aligned crops: write them, make lost ones again, read them, reduce them to thumbnails."""

from __future__ import annotations

import hashlib
import io
import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.atomic_write import replacing
from facestats.core.workers import cpu_count, map_tasks
from facestats.pictures.decode import (
    MAX_PIXELS,
    PictureError,
    decode_picture,
    open_picture,
    read_picture_bytes,
)
from facestats.pictures.geometry import crop_face
from facestats.pictures.paths import picture_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL.Image import Image

# crops with a name from `crop_name`, and the temporary files of killed workers; no other file is ever removed
CROP_FILE = re.compile(r".+\.[0-9a-f]{8}\.jpg|\.[0-9a-f]{16}\.\d+\.tmp", re.DOTALL)
JPEG_QUALITY = 95
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


def write_crop(
    image_id: str, pixels: NDArray[np.uint8], matrix: NDArray[np.float64], *, crops_dir: Path, size: int
) -> tuple[str, NDArray[np.uint8]]:
    """Cut the crop out of a picture and write it; return its path below `crops_dir` and its pixels."""
    crop = crop_face(pixels, matrix, size)
    name = crop_name(image_id, matrix.tobytes() + crop.tobytes())
    _write_jpeg(crop, crops_dir / name)
    return name, crop


def restore_crops(
    lost: pl.DataFrame,
    crops_dir: Path,
    *,
    size: int,
    max_pixels: int = MAX_PIXELS,
    workers: int = 0,
) -> list[str]:
    """Make lost crops again, bit for bit, from the stored matrices; no face is looked for.

    Parameters
    ----------
    lost
        Rows of the table faces with `image_id`, `sha256`, `matrix` and `crop`, and the `path` of each picture.
    crops_dir
        Folder of the crops.
    size, max_pixels, workers
        As the faces were aligned with.

    Returns
    -------
    The `image_id` of each row whose crop could not be made again: the picture changed, or is cut out differently now.
    """
    items = list(lost.select("image_id", "path", "sha256", "matrix", "crop").iter_rows(named=True))
    tasks = map_tasks(
        _restore_task, items, workers=workers, crops_dir=crops_dir, size=size, max_pixels=max_pixels
    )
    with closing(tasks):
        done = [result is True for _, results in tasks for result in results]
    return [item["image_id"] for item, ok in zip(items, done, strict=True) if not ok]


def _restore_task(items: Sequence[dict[str, Any]], **settings: Any) -> list[bool]:
    """Make the crops of one task again, in a worker process."""
    import cv2

    cv2.setNumThreads(1)  # the worker processes already use all cores
    return [_restore_one(**item, **settings) for item in items]


def _restore_one(
    image_id: str,
    path: str,
    sha256: str,
    *,
    matrix: Any,
    crop: str,
    crops_dir: Path,
    size: int,
    max_pixels: int,
) -> bool:
    import cv2

    try:
        data = read_picture_bytes(picture_path(path))
        if hashlib.sha256(data).hexdigest() != sha256:
            return False
        pixels = np.asarray(decode_picture(data, max_pixels=max_pixels).image)
        # the name holds a hash of the pixels: a picture that is cut out differently now gets another name
        name, _ = write_crop(image_id, pixels, np.array(matrix, np.float64), crops_dir=crops_dir, size=size)
    except (MemoryError, RuntimeError, ValueError, cv2.error):  # PictureError is a ValueError
        return False
    return name == crop


def open_crop(path: Path, *, at_least: int | None = None) -> Image:
    """Open a crop; raise ValueError if it cannot be read. `at_least` is that of :func:`decode_picture`."""
    try:
        return open_picture(path, at_least=at_least).image
    except PictureError as error:
        msg = f"crop {path}: {error}. To make it again, type: facestats run --from 01 (or run notebooks/01_faces.ipynb)."
        raise ValueError(msg) from error


def _write_jpeg(crop: NDArray[np.uint8], path: Path) -> None:
    """Write the whole file, or leave none."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    temporary = path.with_name(
        f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.{os.getpid()}.tmp"
    )
    try:
        with replacing(path, temporary=temporary, durable=False) as tmp:
            tmp.write_bytes(buffer.getvalue())
    except OSError as error:
        error.add_note(
            f"The crop {path} could not be written. Free some space or correct the permissions, then run again."
        )
        raise


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
