"""A world of known truth, and what several tests of the audit ask of it."""

import numpy as np
import polars as pl
import pytest

import facestats as fs
from facestats.core.attribute_settings import AttributeSettings

N = 600
OPTIONS = {
    "gender": ("male", "female"),
    "ethnicity": ("Asian", "African", "Caucasian"),
    "hair_color": ("black", "brown", "red"),
}


def attribute(name):
    options = {o: {"image": [f"{o} one", f"{o} two"], "text": [f"is {o}"]} for o in OPTIONS[name]}
    return AttributeSettings.model_validate(
        {
            "title": name,
            "image_templates": ["a {}.", "the {}."],
            "text_templates": ["The person {}."],
            "options": options,
        }
    )


ATTRIBUTES = {name: attribute(name) for name in OPTIONS}


def enum(name, codes):
    """Options of an attribute, by their index."""
    return pl.Series([OPTIONS[name][int(i)] for i in codes], dtype=pl.Enum(OPTIONS[name]))


def labelled(rng, true, name, *, accuracy, prefix=""):
    """Labels that are correct with the probability `accuracy`, with scores and probabilities."""
    options = OPTIONS[name]
    correct = rng.random(len(true)) < accuracy
    other = (true + rng.integers(1, len(options), len(true))) % len(options)
    label = np.where(correct, true, other)
    probs = np.full((len(true), len(options)), 0.1 / (len(options) - 1), dtype=np.float32)
    probs[np.arange(len(true)), label] = 0.9
    return {
        f"{prefix}{name}": enum(name, label),
        f"{prefix}{name}_score": pl.Series(probs.max(axis=1)),
        f"{prefix}{name}_probs": pl.Series(probs, dtype=pl.Array(pl.Float32, len(options))),
    }


def flip_gender(master, where):
    """The labels `gender` of the faces in `where` say the other gender."""
    other = pl.col("gender").cast(pl.String).replace_strict({"male": "female", "female": "male"})
    kind = pl.Enum(OPTIONS["gender"])
    return master.with_columns(gender=pl.when(where).then(other.cast(kind)).otherwise("gender"))


def turn_text(master, name):
    """The labels of texts each say the next option."""
    options = OPTIONS[name]
    turned = dict(zip(options, (*options[1:], options[0]), strict=True))
    text = pl.col(f"text_{name}").cast(pl.String).replace_strict(turned, default=None)
    return master.with_columns(text.cast(pl.Enum(options)).alias(f"text_{name}"))


@pytest.fixture(scope="session")
def world():
    """Master and truth: labels of pictures are correct with the probability 0.95, those of texts with 0.9.

    One text in two does not mention the attribute.
    """
    rng = np.random.default_rng(4)
    ids = [f"{i:04d}.jpg" for i in range(N)]
    master, truth = {"image_id": ids}, {"image_id": ids}
    for name, options in OPTIONS.items():
        true = rng.integers(0, len(options), N)
        truth[f"true_{name}"] = enum(name, true)
        image = labelled(rng, true, name, accuracy=0.95)
        text = labelled(rng, true, name, accuracy=0.9, prefix="text_")[f"text_{name}"]
        master |= image | {f"image_{name}": image[name], f"image_{name}_score": image[f"{name}_score"]}
        mentioned = pl.Series(rng.random(N) < 0.5)
        master[f"text_{name}"] = pl.select(pl.when(mentioned).then(text)).to_series()
    return pl.DataFrame(master), pl.DataFrame(truth)


class Words:
    """An encoder of texts: every phrase lies near the direction of its option, nonsense lies elsewhere."""

    name, dim, logit_scale, input_side = "words@1", 8, 20.0, 8

    def encode_texts(self, texts):
        axes = {o: i for i, o in enumerate(OPTIONS["hair_color"])}
        out = []
        for text in texts:
            noise = np.random.default_rng(sum(map(ord, text))).normal(0, 0.1, self.dim)
            place = next((i for o, i in axes.items() if o in text), 7 if "blorp" in text else 6)
            noise[place] += 1
            if place == 7:
                noise[2] += 0.5  # nonsense lies nearest to red
            out.append(noise / np.linalg.norm(noise))
        return np.array(out, dtype=np.float32)


@pytest.fixture(scope="session")
def embeddings(world):
    """Vectors of pictures near the direction of their true hair colour."""
    true = world[1]["true_hair_color"].to_physical().to_numpy()
    x = np.random.default_rng(0).normal(0, 0.25, (N, 8))
    x[np.arange(N), true] += 1
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    return pl.DataFrame(
        {"image_id": world[1]["image_id"], "embedding": pl.Series(x, dtype=pl.Array(pl.Float32, 8))}
    )


@pytest.fixture
def config(tmp_path):
    """The configuration of the demo, with the attributes of the world, in a folder of its own."""
    places = {"data_dir": tmp_path, "raw_dir": tmp_path / "raw", "attributes": ATTRIBUTES}
    return fs.load_config("config/demo.yaml").model_copy(update=places)


def with_phrases(option, phrases):
    """Hair colour, with other phrases for one option."""
    settings = ATTRIBUTES["hair_color"]
    changed = settings.options[option].model_copy(update={"image": phrases})
    return {"hair_color": settings.model_copy(update={"options": {**settings.options, option: changed}})}


def findings_of(master, truth, **more):
    return fs.audit.findings(
        audit=fs.audit.accuracy(master, ATTRIBUTES, truth),
        options=fs.audit.options(master, ATTRIBUTES, truth=truth),
        calibration=fs.audit.calibration(master, ATTRIBUTES, truth, n_repeats=3),
        crosstalk=fs.audit.crosstalk(master, ATTRIBUTES, truth=truth, n_resamples=50),
        texts=fs.audit.texts(master, ATTRIBUTES),
        **more,
    )


def alarms_on_card(config, findings):
    """The sentences at the top of the run card, before anything else."""
    text = fs.audit.write_card(config, fs.Store(config.data_dir), findings=findings).read_text()
    return text.split("## Most alarming findings\n\n")[1].split("\n\n")[0].splitlines()
