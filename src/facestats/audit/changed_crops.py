"""Cut crops that are shifted, turned, scaled or mirrored, and encode them: the face stays the same."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.tables import KEY, VIEWS, check_columns
from facestats.core.workers import map_tasks
from facestats.pictures.crops import accepted_pixels
from facestats.pictures.decode import PictureError, open_picture
from facestats.pictures.geometry import crop_face
from facestats.pictures.paths import picture_path

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from facestats.core.protocols import Encoder

VARIANTS = ("unchanged", "mirrored", "shifted", "turned", "scaled")
SHIFT, TURN, SCALE = 0.02, 3.0, 1.04  # share of the side; degrees; factor
BATCH_SIZE = 64


def changed_crops(
    faces: pl.DataFrame,
    encoder: Encoder,
    *,
    raw_dir: str | os.PathLike[str],
    size: int = 512,
    n_faces: int = 60,
    seed: int = 0,
) -> pl.DataFrame:
    """Cut crops that are moved a little or mirrored, and encode them; :func:`stability` compares their labels.

    The crops are cut from the pictures by the stored matrices. Whole pictures are changed in the same way, for
    attributes whose view is `full`. No prompt is read, so :meth:`facestats.Store.remember` can keep the result.

    Parameters
    ----------
    faces
        Table of stage 01: `image_id`, `matrix`, `crop`.
    encoder
        The encoder that made the embeddings.
    raw_dir
        Folder of the pictures.
    size
        Side of a crop, in pixels.
    n_faces
        Number of faces to use; all, if there are fewer.
    seed
        Seed of the choice of faces and of the directions in which they are moved.

    Returns
    -------
    One row per face and variant: `image_id`, `variant` (String: unchanged; mirrored; shifted by 2 % of the side; turned
    by 3 degrees; scaled by 4 %), `embedding` and `embedding_full` (Array(Float32, encoder.dim)). A picture that cannot
    be opened any more has no rows.

    Raises
    ------
    TableError
        If `faces` has no `matrix` or no `crop`.

    Examples
    --------
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> changed = fs.audit.changed_crops(
    ...     project.faces, project.encoder, raw_dir=project.raw_dir, size=64, n_faces=3
    ... )
    >>> changed.columns, changed.height
    (['image_id', 'variant', 'embedding', 'embedding_full'], 15)
    """
    check_columns(faces, KEY, "matrix", "crop", made_by="fs.align_faces (notebooks/01_faces.ipynb)")
    known = faces.drop_nulls(["matrix", "crop"])
    rows = known.sample(min(n_faces, known.height), seed=seed).sort(KEY)
    tasks = [
        (str(picture_path(f"{Path(raw_dir)}/{name}")), limit, matrix, seed + i)
        for i, (name, limit, matrix) in enumerate(
            zip(rows[KEY], accepted_pixels(rows), rows["matrix"].to_numpy(), strict=True)
        )
    ]
    found = [
        result
        for _, part in map_tasks(_prepare_variants, tasks, workers=1, task_size=4, size=size, encoder=encoder)
        for result in part
    ]
    usable = [i for i, result in enumerate(found) if isinstance(result, dict)]
    keys = rows[KEY].gather(usable)
    return pl.concat(
        pl.DataFrame(
            {
                KEY: keys,
                "variant": pl.Series([variant] * len(usable), dtype=pl.String),
                **{v: _encode([found[i][variant, v] for i in usable], encoder) for v in VIEWS.values()},
            }
        )
        for variant in VARIANTS
    )


def _prepare_variants(
    tasks: list[tuple[str, int, NDArray[np.float64], int]], *, size: int, encoder: Encoder
) -> list[dict[tuple[str, str], NDArray[np.uint8]] | str]:
    """Decode pictures in a worker and prepare each variant of crop and whole picture; a failed picture gives its message."""
    from PIL import Image

    out: list[dict[tuple[str, str], NDArray[np.uint8]] | str] = []
    for path, limit, matrix, seed in tasks:
        try:
            pixels = np.asarray(open_picture(path, max_pixels=limit).image)
        except PictureError as error:
            out.append(str(error))
            continue
        height, width = pixels.shape[:2]
        whole = np.array([[size / max(height, width), 0, 0], [0, size / max(height, width), 0]])
        whole[:, 2] = (size - np.array([width, height]) * whole[0, 0]) / 2
        prepared = {}
        for variant in VARIANTS:
            change = _variant_matrix(variant, size, np.random.default_rng(seed))
            for view, start in zip(VIEWS.values(), (np.asarray(matrix), whole), strict=True):
                crop = crop_face(pixels, _compose(change, start), size)
                crop = crop[:, ::-1] if variant == "mirrored" else crop
                prepared[variant, view] = encoder.prepare(Image.fromarray(np.ascontiguousarray(crop)))
        out.append(prepared)
    return out


def _variant_matrix(variant: str, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Affine matrix (2, 3) that changes a crop of `size` pixels about its centre, in a random direction."""
    sign = rng.choice([-1.0, 1.0])
    angle = np.deg2rad(TURN) * sign if variant == "turned" else 0.0
    scale = SCALE**sign if variant == "scaled" else 1.0
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = np.full(2, (size - 1) / 2)
    shift = centre - linear @ centre
    if variant == "shifted":
        direction = rng.uniform(0, 2 * np.pi)
        shift = shift + SHIFT * size * np.array([np.cos(direction), np.sin(direction)])
    return np.column_stack([linear, shift])


def _compose(change: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Affine matrix (2, 3) that applies `matrix` first and `change` second."""
    return np.column_stack([change[:, :2] @ matrix[:, :2], change[:, :2] @ matrix[:, 2] + change[:, 2]])


def _encode(pictures: list[NDArray[np.uint8]], encoder: Encoder) -> pl.Series:
    parts = [pictures[i : i + BATCH_SIZE] for i in range(0, len(pictures), BATCH_SIZE)]
    vectors = [encoder.encode_images(np.stack(part)) for part in parts]
    matrix = np.concatenate(vectors) if vectors else np.zeros((0, encoder.dim), dtype=np.float32)
    return pl.Series(matrix, dtype=pl.Array(pl.Float32, encoder.dim))
