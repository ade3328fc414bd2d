"""Stage 01: find the face in every picture, align it, write the crop, measure its quality."""

from __future__ import annotations

import hashlib
import io
import os
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.atomic_write import replacing
from facestats.core.progress import advance
from facestats.core.protocols import ModelError
from facestats.core.tables import FACES, KEY, N_LANDMARKS, check_columns
from facestats.core.workers import WorkerLostError, cpu_count, map_tasks
from facestats.pictures.crops import crop_name
from facestats.pictures.decode import MAX_PIXELS, PictureError, decode_picture, read_picture_bytes
from facestats.pictures.geometry import (
    PUPILS,
    TEMPLATE,
    align_matrix,
    crop_face,
    eye_distance,
    fit_similarity,
    head_pose,
    transform_points,
)
from facestats.pictures.paths import picture_path

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from facestats.core.config import Config
    from facestats.core.protocols import Face, Landmarker

__all__ = ["PUPILS", "TEMPLATE", "align_faces", "crop_face", "fit_similarity", "transform_points"]

JPEG_QUALITY = 95
_POLICIES = ("largest", "reject")


def align_faces(
    images: pl.DataFrame,
    landmarker: Landmarker,
    crops_dir: str | os.PathLike[str],
    *,
    size: int = 512,
    policy: str = "largest",
    max_pixels: int = MAX_PIXELS,
    workers: int = 0,
) -> pl.DataFrame:
    """Find and align the face in every picture; write the aligned faces as JPEG files.

    Parameters
    ----------
    images
        Pictures as :func:`list_images` lists them; rows with a status of their own pass through.
    landmarker
        Finds faces; used in worker processes, so it must pickle.
    crops_dir
        Folder for the crops.
    size
        Side of a crop in pixels; the pupils of a mean face lie at 0.48 of it, 0.227 apart.
    policy
        For several faces: `largest` takes the largest, `reject` gives the status many_faces.
    max_pixels
        Pictures with more pixels are not decoded.
    workers
        Number of processes, 0 for one per core; the result does not depend on it.

    Returns
    -------
    The table `faces` (``tables.FACES``), one row per row of `images`, in the same order. `error` says why
    there is no face; `landmarks`, `box` and `eye_distance_px` are in pixels of the upright picture, `matrix`
    leads from there to the crop, `crop` is a path below `crops_dir`; yaw, pitch and roll as
    :func:`core.geometry.head_pose` signs them.
    """
    check_columns(images, KEY, "path", made_by="fs.list_images")
    if policy not in _POLICIES:
        msg = f"policy is one of {', '.join(_POLICIES)}; got {policy!r}"
        raise ValueError(msg)
    folder = Path(crops_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = [_listed(row) for row in images.iter_rows(named=True)]
    todo = [i for i, row in enumerate(rows) if row["status"] is None]
    advance(len(rows) - len(todo), failed=len(rows) - len(todo))
    items = [(rows[i][KEY], path) for i, path in zip(todo, images["path"].gather(todo), strict=True)]
    tasks = map_tasks(
        _align_all,
        items,
        workers=workers,
        # small inputs still keep every worker busy
        task_size=max(1, min(8, len(items) // (2 * (workers or cpu_count())))),
        landmarker=landmarker,
        crops_dir=folder,
        size=size,
        policy=policy,
        max_pixels=max_pixels,
    )
    with closing(tasks):  # whatever happens, no crop is written afterwards
        for start, results in tasks:
            done = todo[start : start + len(results)]
            for i, result in zip(done, results, strict=True):
                lost = isinstance(result, WorkerLostError)
                rows[i] |= {"status": result.status, "error": str(result)} if lost else result
            advance(len(results), failed=sum(rows[i]["crop"] is None for i in done))
    return _table(rows)


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the table before the picture is opened."""
    return dict.fromkeys(FACES.columns) | {name: row.get(name) for name in (KEY, "status", "error")}


def _table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a frame of the promised types; arrays of many values go in by numpy, not value by value."""
    series = []
    for name, dtype in FACES.columns.items():
        values = [row[name] for row in rows]
        if name in {"landmarks", "matrix"} and any(v is not None for v in values):
            blank = np.zeros_like(next(v for v in values if v is not None))
            filled = pl.Series(name, np.stack([blank if v is None else v for v in values]), dtype=dtype)
            known = pl.Series([v is not None for v in values])
            series.append(pl.select(pl.when(known).then(filled)).to_series().alias(name))
        else:
            series.append(pl.Series(name, values, dtype=dtype, strict=False))
    return pl.DataFrame(series)


def _align_all(items: Sequence[tuple[str, str]], **settings: Any) -> list[dict[str, Any]]:
    """Work of one task, in a worker process."""
    import cv2

    cv2.setNumThreads(1)  # the processes share the cores among themselves
    return [_align_one(image_id, path, **settings) for image_id, path in items]


def _align_one(
    image_id: str,
    path: str,
    *,
    landmarker: Landmarker,
    crops_dir: Path,
    size: int,
    policy: str,
    max_pixels: int,
) -> dict[str, Any]:
    import cv2

    row: dict[str, Any] = {}
    try:
        data = read_picture_bytes(picture_path(path))
        row |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        picture = decode_picture(data, max_pixels=max_pixels)
        row |= {"width": picture.image.width, "height": picture.image.height, "format": picture.format}
        pixels = np.asarray(picture.image)
        faces = landmarker.find(pixels)
        row |= {"n_faces": len(faces)}
        face = _choose(faces, policy)
        row |= _aligned(image_id, face, pixels, crops_dir=crops_dir, size=size) | {"status": picture.status}
    except PictureError as error:
        row |= {"status": error.status, "error": str(error)}
    except ModelError:
        raise  # nothing is wrong with the picture
    except MemoryError:
        row |= {"status": "decode_memory", "error": "not enough memory for this picture; make it smaller"}
    except (RuntimeError, ValueError, cv2.error) as error:
        text = "".join(c if c.isprintable() else " " for c in f"{type(error).__name__}: {error}")[:200]
        row |= {"status": "model_error", "error": f"the landmark model failed ({text}); try again"}
    return row


def _choose(faces: Sequence[Face], policy: str) -> Face:
    """The largest face, the leftmost of equals; raises PictureError if there is none or one too many."""
    if not faces:
        raise PictureError(status="no_face", text="no face was found in the picture")
    if policy == "reject" and len(faces) > 1:
        raise PictureError(
            status="many_faces", text=f"{len(faces)} faces were found and the policy is reject; crop to one"
        )

    def rank(face: Face) -> tuple[float, float, float]:
        x0, y0, x1, y1 = face.box
        return -(x1 - x0) * (y1 - y0), x0, y0

    return min(faces, key=rank)


def _aligned(
    image_id: str, face: Face, pixels: NDArray[np.uint8], *, crops_dir: Path, size: int
) -> dict[str, Any]:
    """Columns of a found face; writes its crop."""
    import cv2
    from PIL import Image

    matrix = align_matrix(face.points, face.box, size=size)
    crop = crop_face(pixels, matrix, size)
    edges = cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_16S)
    name = crop_name(image_id, matrix.tobytes() + crop.tobytes())
    _write_jpeg(Image.fromarray(crop), crops_dir / name)
    row = {
        "detector": face.detector,
        "score": None if np.isnan(face.score) else float(face.score),
        "box": [float(v) for v in face.box],
        # variance of the Laplacian (Pech-Pacheco et al. 2000, ICPR 3:314-317)
        "sharpness": float(cv2.meanStdDev(edges)[1].item() ** 2),
        "matrix": matrix,
        "crop": name,
    }
    if face.points is not None:
        missing = ((0, N_LANDMARKS - len(face.points)), (0, 0))  # a model without irises
        row["landmarks"] = np.pad(face.points.astype(np.float32), missing, constant_values=np.nan)
        row["eye_distance_px"] = eye_distance(face.points)
        if face.depth is not None:
            row |= dict(zip(("yaw", "pitch", "roll"), head_pose(face.points, face.depth), strict=True))
    return row


def _write_jpeg(image: Image.Image, path: Path) -> None:
    """Write a file whole or not at all."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    temporary = path.with_name(
        f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.{os.getpid()}.tmp"
    )
    try:
        with replacing(path, temporary=temporary, durable=False) as tmp:
            tmp.write_bytes(buffer.getvalue())
    except OSError as error:
        error.add_note(
            f"The crop {path} could not be written: free space or permission is missing. Then run again."
        )
        raise


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.align_faces`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    `size`, `policy`, `max_pixels` and `workers`.
    """
    section = cfg.faces
    return {
        "size": section.crop_size,
        "policy": section.policy,
        "max_pixels": section.max_pixels,
        "workers": section.workers,
    }
