"""Stage 02: CLIP vectors of each aligned face and of the whole picture around it."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from facestats.core import progress
from facestats.core.tables import DECODED, KEY, STATUS, TableError, check_columns
from facestats.core.workers import WorkerLostError, cpu_count, map_tasks
from facestats.pictures.crops import accepted_pixels
from facestats.pictures.decode import MAX_PIXELS, PictureError, open_picture
from facestats.pictures.paths import picture_path

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from facestats.core.config import Config
    from facestats.core.protocols import Encoder

N_BATCHES_AHEAD = 2  # batches that are decoded while one is encoded
N_ENCODING = 2  # batches that are encoded at the same time
TASK_SIZE = 8


class _Job(NamedTuple):
    """One picture: row and column of its vector, its file, its name in error messages, and the most pixels it may have."""

    row: int
    column: str
    path: str
    label: str
    max_pixels: int = MAX_PIXELS


def embed_faces(
    faces: pl.DataFrame,
    encoder: Encoder,
    crops_dir: str | os.PathLike[str],
    *,
    raw_dir: str | os.PathLike[str] | None = None,
    batch_size: int = 64,
    workers: int = 0,
) -> pl.DataFrame:
    """Encode each aligned crop, and each whole picture, as a unit vector.

    Parameters
    ----------
    faces
        Table of stage 01, or some rows of it: `image_id`, `status`, `error` and `crop`. A picture above 50
        megapixels is accepted if stage 01 accepted it; the columns `width` and `height` tell, where they are present.
    encoder
        CLIP handle, such as ``fs.models.clip(cfg.embeddings)``.
    crops_dir
        Folder of the aligned crops.
    raw_dir
        Folder of the pictures. With None, `embedding_full` stays null.
    batch_size
        Number of pictures per call of the encoder.
    workers
        Number of processes that decode pictures; 0 means one per two cores, because the model needs the others.

    Returns
    -------
    One row per row of `faces`, in the same order:

    - `image_id` (String),
    - `status` (Enum) and `error` (String): those of `faces`, unless a picture cannot be opened or encoded now,
    - `embedding` (Array(Float32, encoder.dim), length one): vector of the crop, null without a crop,
    - `embedding_full` (the same type): vector of the whole picture, null where it could not be decoded.

    Raises
    ------
    TableError
        If `faces` lacks a column or has an unknown status.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> vectors = fs.embed_faces(project.faces.head(3), project.encoder, project.crops_dir, workers=1)
    >>> vectors.columns
    ['image_id', 'status', 'error', 'embedding', 'embedding_full']
    >>> vectors["embedding"].to_numpy().shape
    (3, 8)
    >>> vectors["embedding_full"].null_count()
    3
    """
    check_columns(faces, KEY, "status", "error", "crop", made_by="fs.align_faces (notebooks/01_faces.ipynb)")
    jobs = _list_jobs(faces, Path(crops_dir), None if raw_dir is None else Path(raw_dir))
    n_left = np.bincount([job.row for job in jobs], minlength=faces.height)
    vectors = {
        c: np.full((faces.height, encoder.dim), np.nan, np.float32) for c in ("embedding", "embedding_full")
    }
    failures: dict[int, tuple[str, str]] = {}
    progress.advance(int((n_left == 0).sum()))
    prepared = _prepare_ahead(
        jobs, encoder, batch_size=batch_size, workers=workers or max(1, cpu_count() // 2)
    )
    encode = partial(_encode_batch, encoder=encoder, vectors=vectors, failures=failures)
    for batch in _encode_in_threads(prepared, encode):
        for job in batch:
            n_left[job.row] -= 1
        done = [job.row for job in batch if n_left[job.row] == 0]
        progress.advance(len(done), failed=sum(row in failures for row in done))
    failed = pl.DataFrame(
        [(row, *failure) for row, failure in failures.items()],
        schema={"row": pl.UInt32, "new_status": STATUS, "new_error": pl.String},
        orient="row",
    )
    return (
        faces.select(pl.col(KEY), pl.col("status").cast(STATUS), "error")
        .with_row_index("row")
        .join(failed, on="row", how="left", validate="1:1", maintain_order="left")
        .select(
            KEY,
            status=pl.coalesce("new_status", "status"),
            error=pl.coalesce("new_error", "error"),
            **{column: _to_series(matrix) for column, matrix in vectors.items()},
        )
    )


def _list_jobs(faces: pl.DataFrame, crops_dir: Path, raw_dir: Path | None) -> list[_Job]:
    """List what to encode: all crops, then all pictures. Batches keep this order, however many workers there are."""
    if unknown := set(faces["status"].drop_nulls().cast(pl.String)) - set(STATUS.categories):
        msg = (
            f"unknown status {sorted(unknown)}; the table faces allows {list(STATUS.categories)}."
            " Make the table with fs.align_faces (notebooks/01_faces.ipynb)."
        )
        raise TableError(msg)
    crops = [
        _Job(row, "embedding", str(picture_path(f"{crops_dir}/{crop}")), f"crop {crop}")
        for row, crop in enumerate(faces["crop"])
        if crop is not None
    ]
    if raw_dir is None:
        return crops
    return crops + [
        _Job(row, "embedding_full", str(picture_path(f"{raw_dir}/{name}")), f"picture {name}", limit)
        for row, (name, status, limit) in enumerate(
            zip(faces[KEY], faces["status"], accepted_pixels(faces), strict=True)
        )
        if status in DECODED
    ]


def _prepare_ahead(
    jobs: list[_Job], encoder: Encoder, *, batch_size: int, workers: int
) -> Iterator[tuple[list[_Job], list[Any]]]:
    """Yield batches of jobs with their prepared pictures or their failures; a thread decodes the next batches."""
    batches = _prepare_batches(jobs, encoder, batch_size=batch_size, workers=workers)
    with ThreadPoolExecutor(1) as thread:
        ahead = deque(thread.submit(next, batches, None) for _ in range(N_BATCHES_AHEAD))
        while (batch := ahead.popleft().result()) is not None:
            ahead.append(thread.submit(next, batches, None))
            yield batch


def _encode_in_threads(
    prepared: Iterator[tuple[list[_Job], list[Any]]], encode: Callable[[list[_Job], list[Any]], None]
) -> Iterator[list[_Job]]:
    """Encode two batches at a time, so that the cores stay busy while a batch finishes; yield them in order."""
    running: deque[tuple[list[_Job], Future[None]]] = deque()
    with ThreadPoolExecutor(N_ENCODING) as threads:
        for batch, pictures in prepared:
            running.append((batch, threads.submit(encode, batch, pictures)))
            if len(running) == N_ENCODING:
                first, future = running.popleft()
                future.result()
                yield first
        for last, future in running:
            future.result()
            yield last


def _prepare_batches(
    jobs: list[_Job], encoder: Encoder, *, batch_size: int, workers: int
) -> Iterator[tuple[list[_Job], list[Any]]]:
    """Yield batches of jobs with their prepared pictures or their failures, in the order of the jobs."""
    files = [(job.path, job.max_pixels) for job in jobs]
    tasks = map_tasks(_prepare_files, files, workers=workers, task_size=TASK_SIZE, encoder=encoder)
    pictures: list[Any] = []
    done = 0
    for _, results in tasks:
        pictures += results
        while len(pictures) >= batch_size or (pictures and done + len(pictures) == len(jobs)):
            batch = jobs[done : done + batch_size]
            yield batch, pictures[:batch_size]
            pictures = pictures[batch_size:]
            done += len(batch)


def _prepare_files(
    files: list[tuple[str, int]], *, encoder: Encoder
) -> list[NDArray[np.uint8] | tuple[str, str]]:
    """Decode and prepare pictures in a worker process; a picture that fails gives its status and an error text."""
    out: list[NDArray[np.uint8] | tuple[str, str]] = []
    for path, limit in files:
        try:
            picture = open_picture(path, max_pixels=limit, at_least=encoder.input_side)
            out.append(encoder.prepare(picture.image))
        except PictureError as error:
            out.append((error.status, str(error)))
    return out


def _encode_batch(
    batch: list[_Job],
    pictures: list[Any],
    *,
    encoder: Encoder,
    vectors: dict[str, NDArray[np.float32]],
    failures: dict[int, tuple[str, str]],
) -> None:
    """Write the vectors of one batch into `vectors`, and what went wrong into `failures`."""
    usable: list[int] = []
    for i, (job, picture) in enumerate(zip(batch, pictures, strict=True)):
        if isinstance(picture, np.ndarray):
            usable.append(i)
            continue
        status, text = (picture.status, str(picture)) if isinstance(picture, WorkerLostError) else picture
        failures.setdefault(job.row, (status, f"{job.label}: {text}"))
    if not usable:
        return
    encoded = encoder.encode_images(np.stack([pictures[i] for i in usable]))
    for i, vector in zip(usable, encoded, strict=True):
        if np.isfinite(vector).all():
            vectors[batch[i].column][batch[i].row] = vector
        else:
            text = f"{batch[i].label}: encoder {encoder.name} returned NaN; try precision: fp32"
            failures.setdefault(batch[i].row, ("model_error", text))


def _to_series(matrix: NDArray[np.float32]) -> pl.Series:
    """Make an Array column of vectors (n, dim); rows of NaN become null."""
    series = pl.Series(matrix, dtype=pl.Array(pl.Float32, matrix.shape[1]))
    empty = pl.Series(np.isnan(matrix[:, 0]))
    return pl.select(pl.when(~empty).then(series)).to_series()


def settings(cfg: Config) -> dict[str, Any]:
    """Turn a configuration into the keywords of :func:`facestats.embed_faces`.

    Parameters
    ----------
    cfg
        From :func:`facestats.load_config`.

    Returns
    -------
    A dictionary with `batch_size` and `workers`.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import Config
    >>> cfg = Config(attributes=fs.testing.example_project().attributes)
    >>> fs.embeddings.settings(cfg)
    {'batch_size': 64, 'workers': 0}
    """
    return {"batch_size": cfg.embeddings.batch_size, "workers": cfg.embeddings.workers}
