from __future__ import annotations

import polars as pl

import facestats as fs
from facestats import master
from facestats.core.tables import FACES
from tests.golden import check_golden

IDS = [f"{i}.jpg" for i in range(12)]
HAIR, EYES = ["black", "brown", "red"], ["blue", "green"]
LETTERS = {"k": "black", "n": "brown", "d": "red", "b": "blue", "g": "green"}


def column(values, options=None):
    """Options by their letter, or scores in tenths; a dash is a missing one."""
    if options is None:
        return pl.Series([None if v == "-" else int(v) / 10 + 0.003 for v in values], dtype=pl.Float32)
    return pl.Series([LETTERS.get(v) for v in values], dtype=pl.Enum(options))


def labels(prefix, name, options, values, scores):
    """The columns that a stage makes of one attribute."""
    even = pl.Series(
        [[1 / len(options)] * len(options)] * len(values), dtype=pl.Array(pl.Float32, len(options))
    )
    score = column(scores)
    return {
        f"{prefix}{name}": column(values, options),
        f"{prefix}{name}_score": score,
        f"{prefix}{name}_margin": score / 2,
        f"{prefix}{name}_probs": even,
    }


def test_the_golden_values_of_master():
    faces = pl.DataFrame(
        {"image_id": IDS, "status": ["ok"] * 10 + ["no_face", "corrupt"], "crop": [*IDS[:10], None, None]}
    )
    faces = faces.select(
        (pl.col(c) if c in faces.columns else pl.lit(None)).cast(t).alias(c) for c, t in FACES.columns.items()
    )
    image = labels("", "hair", HAIR, "kkkknndd-dk-", "987654321-75")
    image |= labels("probe_", "hair", HAIR, "nnd---dk--k-", "999---888-6-")
    image |= labels("", "eyes", EYES, "bbggbbggbb--", "9876543219--")
    text = labels("text_", "hair", HAIR, "kn-dnkddnk--", "98-765432198")
    text |= labels("text_", "eyes", EYES, "bggb-b-g-bg-", "4567-8-9-123")
    human = pl.DataFrame(
        [("0.jpg", "hair", "red", 1.0), ("3.jpg", "hair", "black", 2 / 3), ("8.jpg", "hair", None, None)],
        schema=["image_id", "attribute", "value", "agreement"],
        orient="row",
    )
    key = {"image_id": IDS}
    classified = labels("clf_", "hair", HAIR, "dddnnnkkk---", "123456789---")
    scores = {"charm": [float(i) for i in range(12)], "charm_sd": [0.5] * 12}
    merged = fs.merge_master(
        faces,
        attributes=pl.DataFrame(key | image),
        text_labels=pl.DataFrame(key | text),
        human=human,
        classifications=pl.DataFrame(key | classified),
        ratings=pl.DataFrame(key | scores).reverse(),
    )
    plain = fs.merge_master(
        faces, attributes=pl.DataFrame(key | image).select("image_id", pl.selectors.starts_with("eyes"))
    )
    check_golden(
        "master",
        master.VERSION,
        {
            "columns": merged.columns,
            "master": merged.select(
                c for c in merged.columns if c not in FACES.columns or c in {"image_id", "status"}
            ),
            "without_texts": plain.select("image_id", pl.selectors.contains("eyes")),
            "confident": fs.attributes.mask_low_scores(merged, 0.7).select("hair", "eyes", "text_hair"),
        },
    )
