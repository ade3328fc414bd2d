from __future__ import annotations

import numpy as np
import polars as pl
from PIL import Image

import facestats as fs
from facestats import attributes
from facestats.core.attribute_settings import AttributeSettings
from tests.golden import check_golden

N, DIM = 110, 16
OPTIONS = {
    "hair": ("face", ["black", "brown", "red"]),
    "age": ("full", ["young", "old"]),
    "smile": ("face", ["yes", "no"]),
    "beard": ("face", ["yes", "no"]),
    "hat": ("full", ["yes", "no"]),
    "style": ("face", ["plain", "fancy"]),
    "coat": ("full", ["long", "short"]),
}
ATTRIBUTES = {
    name: AttributeSettings.model_validate(
        {
            "title": name,
            "view": view,
            "image_templates": ["a {}.", "the photo of {}."],
            "text_templates": ["It {}."],
            "options": {o: {"image": [f"{name} {o}", f"{o} of {name}"], "text": [o]} for o in options},
        }
    )
    for name, (view, options) in OPTIONS.items()
}
ENCODER = "words@1"


class Words:
    """Each text has a direction of its own; those of one attribute are alike."""

    name, dim, input_side, logit_scale = ENCODER, DIM, 16, 8.0

    def encode_texts(self, texts):
        seeds = [sum((i + 1) * ord(c) for i, c in enumerate(text)) for text in texts]
        values = np.array([np.random.default_rng(seed).normal(size=DIM) for seed in seeds])
        return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


class Halves:
    """Tells options by the brightness of thirds of a crop; what is missing to 1 is none of them."""

    name, prefix, batch_size = "halves@1", "thirds", 4
    options = ("black", "brown", "red")

    def classify(self, images):
        thirds = [[part.mean() for part in np.array_split(np.asarray(i, float) / 255, 3)] for i in images]
        return (np.array(thirds) / 1.5).astype(np.float32)


def unit(values):
    return (values / np.linalg.norm(values, axis=-1, keepdims=True)).astype(np.float32)


def vectors():
    """Vectors in two views: hair is their nearest centre; some pictures are nearly, or almost nearly, the same."""
    rng = np.random.default_rng(1)
    hair = rng.integers(0, 3, N)
    face = unit(1.1 * rng.normal(size=(3, DIM))[hair] + rng.normal(size=(N, DIM)))
    full = rng.normal(size=(N, DIM))
    full[:, 0] = np.where(np.arange(N) % 5 < 2, 5, -5)  # a coat that nobody mistakes
    full = unit(full)
    for rows, cosine in ((range(20), 0.985), (range(20, 40), 0.975)):
        for i in rows:  # the vector of each in the second half of the table, turned a little
            aside = rng.normal(size=DIM)
            aside = unit(aside - (aside @ face[i]) * face[i])
            face[N - 1 - i] = unit(cosine * face[i] + np.sqrt(1 - cosine**2) * aside)
    ids = [f"{i:03d}.jpg" for i in range(N)]
    kind = pl.Array(pl.Float32, DIM)
    table = pl.DataFrame(
        {
            "image_id": ids,
            "embedding": pl.Series(face, dtype=kind),
            "embedding_full": pl.Series(full, dtype=kind),
        }
    )
    lost = pl.col("image_id").is_in(ids[50:53])
    return table.with_columns(embedding=pl.when(~lost).then("embedding")), hair


def answers(file, table, hair, prompted):
    """Write what people said: much of hair and age, too little of hat, of style one thing only."""
    rng = np.random.default_rng(2)
    style = (table["embedding"].to_numpy() @ rng.normal(size=DIM)) > 0.05
    lines = ["image_id,attribute,value,labeller,time,reason"]
    for i, name in enumerate(table["image_id"]):
        colour = OPTIONS["hair"][1][hair[i] if rng.random() < 0.85 else rng.integers(0, 3)]
        hard = ",,low_margin" if i % 9 == 0 else ",2025-01-01T00:00:00+00:00,random"
        lines.append(f"{name},hair,{colour},anna{hard}")
        if i % 4 == 0:
            lines += [f"{name},hair,{colour},ben,,", f"{name},hair,red,cleo,2025-01-02T00:00:00+00:00,"]
        elif i % 7 == 1:  # a tie
            lines.append(f"{name},hair,{OPTIONS['hair'][1][hair[i] - 1]},ben,,")
        age = prompted["age"][i]
        lines.append(f"{name},age,{age if rng.random() < 0.9 else 'old'},anna,,")
        if i < 80:
            lines.append(f"{name},smile,{'yes' if style[i] else 'no'},anna,,")
        lines += [f"{name},beard,{'yes' if i % 3 else 'no'},anna,,"] * (i < 20)
        lines += [f"{name},hat,{'yes' if i % 3 else 'no'},anna,,"] * (i < 19)
        lines += [f"{name},style,plain,anna,,"] * (i < 30)
        lines += [f"{name},coat,{'long' if i % 5 < 2 else 'short'},anna,,"] * (i < 24)
    file.write_text("\n".join(lines) + "\n")


def crops(folder):
    """Crops whose thirds differ in brightness; the last two are dark, and stand for no option."""
    rng = np.random.default_rng(3)
    for i in range(6):
        thirds = rng.uniform(30, 255, 3) if i < 4 else np.full(3, (91, 40)[i - 4])
        grey = np.repeat(thirds, 6)[:, None, None] * np.ones((18, 18, 3))
        Image.fromarray(grey.astype(np.uint8)).save(folder / f"{i}.png")
    return pl.DataFrame({"image_id": list("abcdefg"), "crop": [*(f"{i}.png" for i in range(6)), None]})


def test_the_golden_values_of_attributes(tmp_path):
    (table, hair), encoder = vectors(), Words()
    prompted = fs.label_attributes(table, encoder, ATTRIBUTES)
    answers(
        tmp_path / "labels.csv",
        table.with_columns(pl.col("embedding").fill_null(strategy="forward")),
        hair,
        prompted,
    )
    people = pl.DataFrame(
        {"image_id": table["image_id"], "who": [str(i // 2) if i > 90 else None for i in range(N)]}
    )
    labels = fs.human_labels.read(tmp_path / "labels.csv", ATTRIBUTES, people=people)
    file = tmp_path / "probes.safetensors"
    probes = fs.attributes.fit_probes(table, labels, ATTRIBUTES, encoder=encoder, seed=5, file=file)
    labelled = fs.label_attributes(
        table, encoder, ATTRIBUTES, probes=fs.attributes.load_probes(file, ENCODER)
    )
    picked = fs.human_labels.sample(labelled, "hair", n_rows=60, seed=1)
    classified = fs.attributes.classify_faces(crops(tmp_path), {"hair": Halves()}, tmp_path)
    check_golden(
        "attributes",
        attributes.VERSION,
        {
            "labels": labels.filter(attribute="hair").drop("attribute"),
            "report": probes.report,
            "curves": probes.curves,
            "promoted": list(probes.promoted),
            "held_out": {name: probe.held_out[::9] for name, probe in probes.fitted.items()},
            "attributes": labelled.select(~pl.selectors.starts_with("probe_"))[::4],
            "learned": labelled.select(pl.selectors.starts_with("probe_"))[::4],
            "probabilities": {
                name: probe.probabilities(pl.Series(["x", "y"]), table["embedding_full"][:2].to_numpy())
                for name, probe in probes.fitted.items()
            },
            "confident": fs.attributes.mask_low_scores(labelled, 0.5).select("hair", "age")[::4],
            "picked": picked.select("image_id", "reason"),
            "classified": classified,
        },
        rough=dict.fromkeys(("held_out", "learned", "probabilities"), 1e-3),
    )
