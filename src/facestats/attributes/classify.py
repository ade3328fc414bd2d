"""Labels of the aligned faces by image classifiers, beside those from prompts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from facestats.core.label_columns import label_columns
from facestats.core.progress import advance
from facestats.core.tables import KEY, check_columns
from facestats.core.workers import cpu_count
from facestats.pictures.crops import open_crop

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

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
            images = list(pool.map(open_crop, [Path(crops_dir) / crop for crop in block["crop"]]))
            for name, classifier in classifiers.items():
                found[name].append(classifier.classify(images))
            advance(block.height)
    columns = [known[KEY]]
    for name, classifier in classifiers.items():
        n = len(classifier.options)
        probs = np.concatenate([np.zeros((0, n), dtype=np.float32), *found[name]])
        # what is missing to 1 is the probability of none of the options
        none = 1 - probs.sum(axis=1) > probs.max(axis=1, initial=0)
        nulls = dict.fromkeys(("label", "score", "margin"), none)
        columns += label_columns(f"{classifier.prefix}_{name}", classifier.options, probs, nulls=nulls)
    return rows.select(KEY).join(
        pl.DataFrame(columns), on=KEY, how="left", validate="1:1", maintain_order="left"
    )
