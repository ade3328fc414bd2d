"""An encoder without weights, attributes and random vectors, for the tests of this package."""

from __future__ import annotations

import hashlib

import numpy as np
import polars as pl

from facestats.core.attribute_settings import AttributeSettings

DIM = 12


class HashEncoder:
    """Encodes each text as random noise, seeded by a hash of the text."""

    name = "hash"
    dim = DIM
    logit_scale = 20.0

    def __init__(self):
        self.seen = []

    def encode_texts(self, texts):
        self.seen += texts
        seeds = [int.from_bytes(hashlib.sha256(t.encode()).digest()[:4], "little") for t in texts]
        return unit(np.stack([np.random.default_rng(s).normal(size=DIM) for s in seeds]))


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def attribute(options, view="face", templates=("a photo of {}.", "a portrait of {}.")):
    return AttributeSettings.model_validate(
        {
            "title": "X",
            "view": view,
            "image_templates": templates,
            "text_templates": ["The person {}."],
            "options": {
                o: {"image": [f"a {o} person", f"someone {o}"], "text": [f"is {o}"]} for o in options
            },
        }
    )


def table(n=20, *, seed=0, nulls=(), columns=("embedding", "embedding_full")):
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({"image_id": [f"i{k}" for k in range(n)]})
    for column in columns:
        matrix = unit(rng.normal(size=(n, DIM))) if n else np.zeros((0, DIM), np.float32)
        rows = [None if i in nulls else row.tolist() for i, row in enumerate(matrix)]
        frame = frame.with_columns(pl.Series(column, rows, dtype=pl.Array(pl.Float32, DIM)))
    return frame
