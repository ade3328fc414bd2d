"""How each table would be made from a configuration: what the notebooks do, as data, for `facestats status`.

A test runs the notebooks and holds this module to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import facestats as fs
from facestats.core.fingerprint import describe_stage
from facestats.core.status import Expected

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
    return {
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
            describe_stage(fs.label_attributes, {"encoder": clip, "attributes": config.attributes})
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
            fs.list_captions(config.raw_dir),
        ),
    }
