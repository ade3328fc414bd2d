"""Stage 01: find the face in each picture, align it, write the crop, and measure its quality."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from facestats.core.progress import advance
from facestats.core.protocols import ModelError
from facestats.core.tables import FACES, KEY, N_LANDMARKS, check_columns
from facestats.core.workers import WorkerLostError, cpu_count, map_tasks
from facestats.pictures.crops import write_crop
from facestats.pictures.decode import MAX_PIXELS, PictureError, decode_picture, read_picture_bytes
from facestats.pictures.geometry import (
    align_matrix,
    eye_distance,
    head_pose,
)
from facestats.pictures.paths import picture_path

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from facestats.core.config import Config
    from facestats.core.protocols import Face, Landmarker

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
    """Find and align the face in each picture, and write the aligned faces as JPEG files.

    A similarity transform carries the landmarks onto a mean face (:func:`facestats.pictures.geometry.align_matrix`):
    the face is rotated, scaled and shifted, and its proportions stay as they are.

    Parameters
    ----------
    images
        Pictures as :func:`facestats.list_images` lists them. Rows that already have a status pass through unopened.
    landmarker
        Finds faces and landmarks, such as ``fs.models.landmarker(cfg.faces)``. It runs in worker processes, so it
        must pickle.
    crops_dir
        Folder for the crops; it is made if it is missing.
    size
        Side of a crop in pixels. In a mean face the pupils lie 0.48 x `size` below the top edge and 0.227 x `size` apart.
    policy
        What to do with several faces in one picture: ``largest`` takes the largest one, ``reject`` gives the row the
        status ``many_faces``.
    max_pixels
        Pictures with more pixels are not decoded; their status is ``too_large``.
    workers
        Number of processes; 0 means one per core. The result does not depend on it.

    Returns
    -------
    The table `faces`, one row per row of `images`, in the same order:

    - `image_id` (String), `status` (Enum of ``fs.tables.STATUSES``), `error` (String: why there is no face),
    - `sha256` (String), `bytes` (Int64), `width` and `height` (Int32), `format` (String): the file,
    - `icc_profile` (String): the colour profile of the file, null if it has none; the crop is sRGB,
    - `n_faces` (Int32), `detector` (String), `score` (Float32, 0 to 1, null where the detector gives none),
    - `box` (Array(Float32, 4): x0, y0, x1, y1) and `landmarks` (Array(Float32, (478, 2)): x, y), in pixels of the
      upright picture,
    - `yaw`, `pitch` and `roll` (Float32, degrees; the signs are those of
      :func:`facestats.pictures.geometry.head_pose`),
    - `eye_distance_px` (Float32, pixels), `sharpness` (Float32, variance of the Laplacian of the crop),
    - `matrix` (Array(Float64, (2, 3))): carries points of the picture to points of the crop,
    - `crop` (String): path of the crop below `crops_dir`.

    Raises
    ------
    TableError
        If `images` lacks a column.
    ValueError
        If `policy` is unknown.
    ModelError
        If the landmark model is missing or cannot be loaded.
    OSError
        If a crop cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> images = fs.list_images(project.raw_dir).head(2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     faces = fs.align_faces(images, project.landmarker, folder, size=64, workers=1)
    >>> faces.select("image_id", "status", "n_faces").rows()
    [('face_000.png', 'ok', 1), ('face_001.png', 'ok', 1)]
    """
    check_columns(images, KEY, "path", made_by="fs.list_images")
    if policy not in _POLICIES:
        msg = f"policy must be one of {', '.join(_POLICIES)}; got {policy!r}"
        raise ValueError(msg)
    folder = Path(crops_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = [_unopened_row(row) for row in images.iter_rows(named=True)]
    todo = [i for i, row in enumerate(rows) if row["status"] is None]
    advance(len(rows) - len(todo), failed=len(rows) - len(todo))
    items = [(rows[i][KEY], path) for i, path in zip(todo, images["path"].gather(todo), strict=True)]
    tasks = map_tasks(
        _align_task,
        items,
        workers=workers,
        # tasks of a small input are shorter, so that every worker gets some
        task_size=max(1, min(8, len(items) // (2 * (workers or cpu_count())))),
        landmarker=landmarker,
        crops_dir=folder,
        size=size,
        policy=policy,
        max_pixels=max_pixels,
    )
    with closing(tasks):  # after an error, no worker writes another crop
        for start, results in tasks:
            done = todo[start : start + len(results)]
            for i, result in zip(done, results, strict=True):
                worker_lost = isinstance(result, WorkerLostError)
                rows[i] |= {"status": result.status, "error": str(result)} if worker_lost else result
            advance(len(results), failed=sum(rows[i]["crop"] is None for i in done))
    return _to_table(rows)


def _unopened_row(row: dict[str, Any]) -> dict[str, Any]:
    """Row of the table before the picture is opened."""
    return dict.fromkeys(FACES.columns) | {name: row.get(name) for name in (KEY, "status", "error")}


def _to_table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Make a frame of the types in ``FACES``; arrays with many values go through NumPy, which is much faster."""
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


def _align_task(items: Sequence[tuple[str, str]], **settings: Any) -> list[dict[str, Any]]:
    """Align the pictures of one task, in a worker process."""
    import cv2

    cv2.setNumThreads(1)  # the worker processes already use all cores
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
    """Columns of one picture: what was found, or why nothing was."""
    import cv2

    row: dict[str, Any] = {}
    try:
        data = read_picture_bytes(picture_path(path))
        row |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        picture = decode_picture(data, max_pixels=max_pixels)
        row |= {"width": picture.image.width, "height": picture.image.height}
        row |= {"format": picture.format, "icc_profile": picture.icc_profile}
        pixels = np.asarray(picture.image)
        faces = landmarker.find(pixels)
        row |= {"n_faces": len(faces)}
        face = _choose(faces, policy)
        row |= _write_aligned(image_id, face, pixels, crops_dir=crops_dir, size=size) | {
            "status": picture.status
        }
    except PictureError as error:
        row |= {"status": error.status, "error": str(error)}
    except ModelError:
        raise  # the picture is not the cause, so the whole run must stop
    except MemoryError:
        row |= {"status": "decode_memory", "error": "not enough memory for this picture; make it smaller"}
    except (RuntimeError, ValueError, cv2.error) as error:
        text = "".join(c if c.isprintable() else " " for c in f"{type(error).__name__}: {error}")[:200]
        row |= {"status": "model_error", "error": f"the landmark model failed ({text}); try again"}
    return row


def _choose(faces: Sequence[Face], policy: str) -> Face:
    """Return the largest face, the leftmost of equal ones; PictureError where none may be taken."""
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


def _write_aligned(
    image_id: str, face: Face, pixels: NDArray[np.uint8], *, crops_dir: Path, size: int
) -> dict[str, Any]:
    """Write the crop of a face, and return the columns that describe the face."""
    import cv2

    matrix = align_matrix(face.points, face.box, size=size)
    name, crop = write_crop(image_id, pixels, matrix, crops_dir=crops_dir, size=size)
    laplacian = cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_16S)
    row = {
        "detector": face.detector,
        "score": None if np.isnan(face.score) else float(face.score),
        "box": [float(v) for v in face.box],
        # variance of the Laplacian (Pech-Pacheco et al. 2000, ICPR 3:314-317)
        "sharpness": float(cv2.meanStdDev(laplacian)[1].item() ** 2),
        "matrix": matrix,
        "crop": name,
    }
    if face.points is not None:
        missing = ((0, N_LANDMARKS - len(face.points)), (0, 0))  # some models find no irises
        row["landmarks"] = np.pad(face.points.astype(np.float32), missing, constant_values=np.nan)
        row["eye_distance_px"] = eye_distance(face.points)
        if face.depth is not None:
            row |= dict(zip(("yaw", "pitch", "roll"), head_pose(face.points, face.depth), strict=True))
    return row


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.align_faces`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    A dictionary with `size`, `policy`, `max_pixels` and `workers`.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> cfg = Config(attributes=fs.testing.example_project().attributes)
    >>> fs.faces.settings(cfg)
    {'size': 512, 'policy': 'largest', 'max_pixels': 50000000, 'workers': 0}
    """
    section = cfg.faces
    return {
        "size": section.crop_size,
        "policy": section.policy,
        "max_pixels": section.max_pixels,
        "workers": section.workers,
    }
