"""How each table would be made from a configuration: what the notebooks do, as data, for `facestats status`.

A test runs the notebooks and holds this module to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

import facestats as fs
from facestats.core.fingerprint import describe_stage
from facestats.core.probes import probes_name
from facestats.core.status import Expected
from facestats.core.tables import FINGERPRINT, KEY

if TYPE_CHECKING:
    from facestats.core.config import Config


def expected_tables(config: Config) -> dict[str, Expected]:
    """Describe how each stage would run now; loads no weights and computes nothing.

    Parameters
    ----------
    config
        Settings of the project.

    Returns
    -------
    Per table its present description and, for pictures and captions, its present input rows.
    """
    landmarker = fs.models.landmarker(config.faces)
    clip, bart = fs.models.clip(config.embeddings), fs.models.bart(config.text_labels)
    faces, texts, pictures = config.faces, config.text_labels, fs.list_images(config.raw_dir)
    captions = fs.list_captions(config.raw_dir)
    labels = fs.read_labels(config.labels_file, config.attributes)
    recipe = {
        "faces": Expected(
            describe_stage(
                fs.align_faces,
                {
                    "landmarker": landmarker,
                    "size": faces.crop_size,
                    "policy": faces.policy,
                    "max_pixels": faces.max_pixels,
                },
            ),
            pictures,
        ),
        "embeddings": Expected(
            describe_stage(fs.embed_faces, {"encoder": clip, "batch_size": config.embeddings.batch_size})
        ),
        "attributes": Expected(
            describe_stage(
                fs.label_attributes,
                {
                    "encoder": clip,
                    "attributes": config.attributes,
                    "probes": _expected_probes(config, clip.name),
                },
            )
        ),
        "text_labels": Expected(
            describe_stage(
                fs.label_texts,
                {
                    "classifier": bart,
                    "attributes": config.attributes,
                    "threshold": texts.threshold,
                    "ask_first": texts.ask_first,
                    "lexicon": texts.lexicon,
                },
            ),
            captions,
        ),
        "master": Expected(describe_stage(fs.merge_master, {"human": labels, "captions": captions})),
    }
    if texts.vectors:
        said = describe_stage(fs.embed_texts, {"encoder": clip})
        recipe["text_embeddings"] = Expected(said, captions)
    if config.classifiers:
        classifiers = fs.models.classifiers(config.classifiers, config.attributes)
        recipe["classifications"] = Expected(describe_stage(fs.classify_faces, {"classifiers": classifiers}))
    return recipe


def _expected_probes(config: Config, encoder: str) -> str:
    """Name the probes that notebook 03 would fit now."""
    try:
        vectors = fs.Store(config.data_dir).scan("embeddings").select(KEY, FINGERPRINT).collect()
    except FileNotFoundError:
        vectors = pl.DataFrame(schema={KEY: pl.String, FINGERPRINT: pl.UInt64})
    truth = fs.read_truth(config.raw_dir, config.attributes)
    labels = fs.read_labels(config.labels_file, config.attributes, truth=truth)
    return probes_name(vectors, labels, encoder, attributes=config.attributes, seed=config.seed)
