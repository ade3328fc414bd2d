"""Labels of the aligned faces by image classifiers, in addition to those from prompts."""

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
    """Label the crop of each face with one classifier per attribute; each crop is opened once.

    Parameters
    ----------
    faces
        Table of stage 01, or any frame with `image_id` and `crop`.
    classifiers
        The classifier of each attribute, from ``fs.models.classifiers(cfg.classifiers, cfg.attributes)``.
    crops_dir
        Folder of the crops.

    Returns
    -------
    One row per row of `faces`: `image_id` (String) and, for each attribute `a` with the prefix `p` of its classifier:

    - `p_a` (Enum in the order of the options; null without a crop, and where "none of the options" is most probable),
    - `p_a_score` and `p_a_margin` (Float32, null where `p_a` is null): probability of the best option, and its lead
      over the second-best one,
    - `p_a_probs` (Array(Float32, number of options), null without a crop).

    Raises
    ------
    TableError
        If `faces` lacks a column.
    ValueError
        If a crop cannot be read; the message names it.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import numpy as np
    >>> import facestats as fs
    >>> project = fs.testing.example_project()
    >>> classifier = SimpleNamespace(
    ...     name="tone@1", options=("dark", "light"), prefix="cnn", batch_size=4,
    ...     classify=lambda images: np.tile(np.float32([0.25, 0.75]), (len(images), 1)),
    ... )
    >>> found = fs.attributes.classify_faces(project.faces, {"tone": classifier}, project.crops_dir)
    >>> found.drop("cnn_tone_probs").row(0)
    ('face_000.png', 'light', 0.75, 0.5)
    """
    check_columns(faces, KEY, "crop", made_by="fs.align_faces (notebooks/01_faces.ipynb)")
    rows = faces.select(KEY, "crop")
    with_crop = rows.drop_nulls("crop")
    found: dict[str, list[NDArray[np.float32]]] = {name: [] for name in classifiers}
    size = max((c.batch_size for c in classifiers.values()), default=1) * cpu_count()
    with ThreadPoolExecutor(cpu_count()) as pool:
        for block in with_crop.iter_slices(size) if classifiers else ():
            images = list(pool.map(open_crop, [Path(crops_dir) / crop for crop in block["crop"]]))
            for name, classifier in classifiers.items():
                found[name].append(classifier.classify(images))
            advance(block.height)
    columns = [with_crop[KEY]]
    for name, classifier in classifiers.items():
        n = len(classifier.options)
        probs = np.concatenate([np.zeros((0, n), dtype=np.float32), *found[name]])
        # the probabilities may sum to less than 1; the rest is the probability of none of the options
        none = 1 - probs.sum(axis=1) > probs.max(axis=1, initial=0)
        nulls = dict.fromkeys(("label", "score", "margin"), none)
        columns += label_columns(f"{classifier.prefix}_{name}", classifier.options, probs, nulls=nulls)
    return rows.select(KEY).join(
        pl.DataFrame(columns), on=KEY, how="left", validate="1:1", maintain_order="left"
    )
