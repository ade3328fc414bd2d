"""Labels of the aligned faces by image classifiers, beside those from prompts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.progress import advance
from facestats.core.tables import KEY, check_columns
from facestats.core.workers import cpu_count
from facestats.pictures.decode import PictureError, open_picture

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from PIL import Image

    from facestats.core.protocols import ImageClassifier


def classify_faces(
    faces: pl.DataFrame, classifiers: Mapping[str, ImageClassifier], crops_dir: str | os.PathLike[str]
) -> pl.DataFrame:
    """Label the crop of every face with one classifier per attribute; each crop is opened once.

    Parameters
    ----------
    faces
        Table of stage 01, or any frame with its columns.
    classifiers
        Per attribute its classifier, from ``fs.models.classifiers(cfg.classifiers, cfg.attributes)``.
    crops_dir
        Folder of the crops.

    Returns
    -------
    `image_id` and, per attribute `a`, with the prefix `p` of its classifier: `p_a` (Enum in the order of the options;
    null without a crop, or where the probability of labels that stand for no option is highest), `p_a_score`
    and `p_a_margin` (Float32), `p_a_probs` (Array(Float32, number of options)).

    Raises
    ------
    ValueError
        If a crop cannot be read; names it.
    """
    check_columns(faces, KEY, "crop", made_by="fs.align_faces (notebooks/01_faces.ipynb)")
    rows = faces.select(KEY, "crop")
    known = rows.drop_nulls("crop")
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in classifiers}
    size = max((c.batch_size for c in classifiers.values()), default=1) * cpu_count()
    with ThreadPoolExecutor(cpu_count()) as pool:
        for block in known.iter_slices(size) if classifiers else ():
            images = list(pool.map(_open, [Path(crops_dir) / crop for crop in block["crop"]]))
            for name, classifier in classifiers.items():
                found[name].append(classifier.classify(images))
            advance(block.height)
    columns = [known[KEY]]
    for name, classifier in classifiers.items():
        n = len(classifier.options)
        probs = np.concatenate([np.zeros((0, n), dtype=np.float32), *found[name]])
        columns += _label(f"{classifier.prefix}_{name}", classifier.options, probs)
    return rows.select(KEY).join(
        pl.DataFrame(columns), on=KEY, how="left", validate="1:1", maintain_order="left"
    )


def _open(path: Path) -> Image.Image:
    try:
        return open_picture(path).image
    except PictureError as error:
        msg = f"crop {path}: {error}. Align the faces again (notebooks/01_faces.ipynb)."
        raise ValueError(msg) from error


def _label(name: str, options: tuple[str, ...], probs: NDArray[np.float32]) -> list[pl.Series]:
    """Make the four columns of one attribute; what is missing to 1 is the probability of none of the options."""
    ranked = np.sort(probs, axis=1)[:, ::-1]
    none = 1 - probs.sum(axis=1)
    unsaid = pl.Series(none > ranked[:, 0])
    best = pl.Series(name, list(options), dtype=pl.Enum(options)).gather(probs.argmax(axis=1))
    second = ranked[:, 1] if len(options) > 1 else np.zeros(len(probs), dtype=np.float32)
    values = {
        name: best,
        f"{name}_score": pl.Series(ranked[:, 0], dtype=pl.Float32),
        f"{name}_margin": pl.Series(ranked[:, 0] - second, dtype=pl.Float32),
    }
    said = [pl.select(pl.when(~unsaid).then(series)).to_series().alias(n) for n, series in values.items()]
    return [*said, pl.Series(f"{name}_probs", probs, dtype=pl.Array(pl.Float32, len(options)))]
