from __future__ import annotations

import numpy as np
import polars as pl
from PIL import Image

import facestats as fs
from facestats import audit
from facestats.core.attribute_settings import AttributeSettings
from tests.golden import check_golden

N, DIM = 160, 8
OPTIONS = {
    "gender": ["male", "female"],
    "ethnicity": ["Asian", "African", "European"],
    "hair": ["black", "brown", "red", "grey"],
}
OPTIONS |= {name: ["yes", "no"] for name in ("hat", "beard", "sure", "unsure")}


def attribute(name, options, view="face"):
    """Two phrases per option, one for beards; some of hair mean nothing, or speak of another option."""
    phrases = {o: [f"{o} {name}", f"{o} of all {name}s"] for o in options}
    if name == "hair":
        phrases["red"] = ["red hair", "brown or so", "black and so", "so black"]
        phrases["brown"] += ["brwn xzqv", "qqx", "grey or so"]
        phrases["grey"] = ["grey hair", "qqx grey"]  # a word that one other option has, too
    elif name == "beard":
        phrases = {o: [f"{o} beard"] for o in options}
    return AttributeSettings.model_validate(
        {
            "title": name,
            "view": view,
            "image_templates": ["a {}.", "the {}.", "{} on a photo."] if name == "hair" else ["a {}."],
            "text_templates": ["The person {}."],
            "options": {
                o: {"image": p, "text": [f"is {o}"], "tags": [f"{o}ish"]} for o, p in phrases.items()
            },
        }
    )


ATTRIBUTES = {name: attribute(name, options) for name, options in OPTIONS.items()}
PROMPTED = {"hair": ATTRIBUTES["hair"], "beard": attribute("beard", OPTIONS["beard"], view="full")}


class Words:
    """Pictures by the colours of their quarters; texts by their words, each with a direction of its own."""

    name, dim, input_side, logit_scale = "words@1", DIM, 16, 30.0

    def prepare(self, image):
        return np.asarray(image.resize((8, 8)), dtype=np.uint8)

    def encode_images(self, pixels):
        quarters = pixels.reshape(len(pixels), 2, 4, 2, 4, 3).mean(axis=(2, 4)).reshape(len(pixels), -1)
        return unit(quarters[:, :DIM] - 120)

    def encode_texts(self, texts):
        return unit([sum(word_vector(word) for word in text.strip(".").split()) for text in texts])


def word_vector(word):
    rng = np.random.default_rng(sum((i + 3) * ord(c) for i, c in enumerate(word)))
    known = {option: i for i, option in enumerate([*OPTIONS["hair"][:3], *OPTIONS["beard"]])}
    return rng.normal(0, 0.35, DIM) + 1.5 * (np.arange(DIM) == known.get(word, -1)) + 0.3


def unit(values):
    values = np.asarray(values, dtype=np.float64)
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def labelled(rng, true, options, accuracy, sure):
    """Labels that are right with the chance `accuracy`, and their probabilities."""
    n = len(options)
    label = np.where(rng.random(len(true)) < accuracy, true, (true + rng.integers(1, n, len(true))) % n)
    best = sure + (1 - sure) * rng.random(len(true)) * 0.8
    probs = np.repeat(((1 - best) / (n - 1))[:, None], n, axis=1)
    probs[np.arange(len(true)), label] = best
    return pl.Series([options[i] for i in label], dtype=pl.Enum(options)), probs


def world():
    """Master and truth; the picture errs more often for women of one ethnicity, and on hair beside them."""
    rng = np.random.default_rng(4)
    ids = [f"{i:03d}.jpg" for i in range(N)]
    master, truth = {"image_id": ids}, {"image_id": ids}
    gender, ethnicity = rng.integers(0, 2, N), rng.integers(0, 3, N)
    hair = np.where(rng.random(N) < 0.3, ethnicity, rng.integers(0, 4, N))
    codes = {"gender": gender, "ethnicity": ethnicity, "hair": hair, "hat": rng.integers(0, 2, N)}
    codes |= {name: rng.integers(0, 2, N) for name in ("beard", "sure", "unsure")}
    hard = (gender == 1) & (ethnicity == 2)
    for name, true in codes.items():
        options = OPTIONS[name]
        accuracy = np.where(
            hard, 0.6, {"gender": 0.95, "hat": 0.1, "beard": 1.0, "sure": 1.0}.get(name, 0.85)
        )
        sure = {"gender": 0.9, "hat": 0.97, "beard": 0.501, "hair": 0.6}.get(name, 0.75)
        label, probs = labelled(rng, true, options, 1.0 if name.endswith("sure") else accuracy, sure)
        if name == "sure":  # zeros, as a model of half precision gives
            probs = np.eye(2)[true]
            probs[:3] = probs[:3, ::-1]
        elif name == "unsure":  # always right, and never says so
            probs = 0.499 + 0.002 * np.eye(2)[true]
        score = pl.Series(probs.max(axis=1), dtype=pl.Float32)
        kind = pl.Array(pl.Float32, len(options))
        text, _ = labelled(rng, true, options, 0.7 if name == "hair" else 0.9, 0.9)
        clf, clf_probs = labelled(rng, true, options, 0.75, 0.5)
        speaks = pl.Series(rng.random(N) < 0.5)
        master |= {
            name: label,
            f"{name}_score": score,
            f"{name}_probs": pl.Series(probs.astype(np.float32), dtype=kind),
            f"{name}_source": pl.Series(["human" if i % 20 == 0 else "image" for i in range(N)]),
            f"image_{name}": label,
            f"image_{name}_score": score,
            f"text_{name}": pl.select(pl.when(speaks).then(text)).to_series(),
        }
        if name in {"gender", "hair"}:
            clf_kind = pl.Series(clf_probs.astype(np.float32), dtype=kind)
            prefix = {"gender": "clf", "hair": "probe"}[name]
            master |= {
                f"{prefix}_{name}": clf,
                f"{prefix}_{name}_score": score,
                f"{prefix}_{name}_probs": clf_kind,
            }
        known = {"hat": 20, "beard": 19}.get(name, N - 8)
        truth[f"true_{name}"] = pl.Series(
            [options[c] if i < known else None for i, c in enumerate(true)], dtype=pl.Enum(options)
        )
    unlabelled = pl.col("image_id").is_in(ids[11:14])
    table = pl.DataFrame(master).with_columns(
        pl.when(~unlabelled).then(pl.col("^(image_)?hair$")).name.keep()
    )
    return table, pl.DataFrame(truth)


def vectors():
    """More pictures than the check of wordings looks at, near the directions of hair."""
    rng = np.random.default_rng(5)
    x = unit(rng.normal(0, 0.4, (2300, DIM)) + np.eye(DIM)[rng.integers(0, 5, 2300)])
    kind = pl.Array(pl.Float32, DIM)
    ids = pl.int_range(2300, eager=True).cast(pl.String)
    return pl.DataFrame(
        {
            "image_id": ids,
            "embedding": pl.Series(x, dtype=kind),
            "embedding_full": pl.Series(x[::-1], dtype=kind),
        }
    )


def moved(folder):
    """Vectors of every variant of some crops and pictures, and the labels that flip."""
    y, x = np.mgrid[:80, :100]
    for i in range(5):
        waves = [128 + 120 * np.sin(x / (3 + i) + k) * np.cos(y / (4 + k) - i) for k in range(3)]
        Image.fromarray(np.stack(waves, axis=-1).astype(np.uint8)).save(folder / f"{i}.png")
    matrix = np.array([[[0.6 + i / 20, -0.1, 2 - i], [0.1, 0.6 + i / 20, 4 + i]] for i in range(5)])
    faces = pl.DataFrame(
        {
            "image_id": [f"{i}.png" for i in range(5)],
            "crop": [*("abcd"), None],
            "matrix": pl.Series(matrix, dtype=pl.Array(pl.Float64, (2, 3))),
        }
    )
    seen = []

    class Watched(Words):
        def encode_images(self, pixels):
            seen.append(super().encode_images(pixels))
            return seen[-1]

    changed = fs.audit.changed_crops(faces, Watched(), raw_dir=folder, size=64, n_faces=3, seed=2)
    flips = fs.audit.stability(changed, PROMPTED, Watched())
    # of each variant the crops come first, then the pictures
    return flips, {"embedding": np.concatenate(seen[::2]), "embedding_full": np.concatenate(seen[1::2])}


def near_the_limits():
    """Tables made by hand, a row on either side of each limit from which on something is said."""

    def audited(name, by, n, accuracy, high, p=None, source="merged"):
        return {"attribute": name, "source": source, "by": by, "group": "x", "n": n, "accuracy": accuracy,
                "accuracy_low": 0.1, "accuracy_high": high, "p_adjusted": p}  # fmt: skip

    rows = [audited(f"a{i}", "all", 100, 0.45, high) for i, high in enumerate((0.49, 0.51, 0.79, 0.81))]
    rows += [audited(f"g{i}", "all", 100, 0.9, 0.95) for i in range(4)]
    groups = [(0.8, 0.049), (0.8, 0.051), (0.87, 0.01), (0.855, 0.01)]
    rows += [audited(f"g{i}", "gender", 20, accuracy, 0.99, p) for i, (accuracy, p) in enumerate(groups)]
    rows += [audited("a0", "all", 100, 0.3, 0.4, source=source) for source in ("image", "vector", "probe")]
    recalls = [(0.2, 0.24), (0.2, 0.26), (0.4, 0.49), (0.4, 0.51)]
    options = [("o", f"{i}", 30, 0.3, 0.6, 40, recall, 0.1, high) for i, (recall, high) in enumerate(recalls)]
    options += [(name, o, n, share, 0.6, None, None, None, None) for name, o, n, share in
                (("m", "1", 95, 0.96), ("m", "2", 5, 0.04), ("m", "3", 0, 0.034), ("m", "4", 0, 0.02), ("k", "1", 99, 1.0), ("k", "2", 0, 0.0))]  # fmt: skip
    names = ["attribute", "option", "n", "share", "score", "n_true", "recall", "recall_low", "recall_high"]
    calibration = [(f"c{i}", "image", 200, 1.5, ece, 0.02, 0.05, chance) for i, (ece, chance) in
                   enumerate(((0.069, 0.03), (0.071, 0.03), (0.09, 0.1)))]  # fmt: skip
    named = ["attribute", "source", "n", "temperature", "ece", "ece_chance", "ece_scaled", "ece_chance_high"]
    prompts = [("p", "phrase", "o", str(i), 60, flips, low, 0.5, *judged) for i, (flips, low, *judged) in enumerate(
        ((0.2, 0.049, False, False), (0.2, 0.051, False, False), (0.8, 0.6, True, False), (0.1, 0.6, True, False),
         (None, None, None, True), (0.9, 0.8, False, True)))]  # fmt: skip
    said = ["attribute", "kind", "option", "prompt", "n", "flips", "low", "high", "astray", "nonsense"]
    crosstalk = [("a", "b", 0.4, 0.1, 0.3, low, "x and y") for low in (0.049, 0.051)]
    texts = [(f"t{i}", 50, 0.4, 0.3, high) for i, high in enumerate((0.49, 0.51, 0.74, 0.76))]
    stability = [("s", variant, 60, 0.2, low, 0.3) for variant, low in (("turned", 0.099), ("scaled", 0.101))]
    return {
        "audit": pl.DataFrame(rows),
        "options": pl.DataFrame(options, schema=names, orient="row"),
        "calibration": pl.DataFrame(calibration, schema=named, orient="row"),
        "prompts": pl.DataFrame(prompts, schema=said, orient="row"),
        "crosstalk": pl.DataFrame(
            crosstalk, schema=["a", "b", "labels", "truth", "excess", "low", "example"], orient="row"
        ),
        "texts": pl.DataFrame(texts, schema=["attribute", "n", "agreement", "low", "high"], orient="row"),
        "stability": pl.DataFrame(
            stability, schema=["attribute", "variant", "n", "flips", "low", "high"], orient="row"
        ),
    }


def test_the_golden_values_of_audit(tmp_path):
    master, truth = world()
    scored = {name: ATTRIBUTES[name] for name in ("gender", "ethnicity", "hair")}
    sets = fs.audit.label_sets(master, ATTRIBUTES, truth)
    table = fs.audit.accuracy(master, scored, truth)
    flips, variants = moved(tmp_path)
    tables = {
        "options": fs.audit.options(master, scored, truth=truth),
        "calibration": fs.audit.calibration(master, ATTRIBUTES, truth, n_repeats=4, seed=1),
        "prompts": fs.audit.prompts(vectors(), PROMPTED, Words()),
        "crosstalk": fs.audit.crosstalk(master, scored, truth=truth, n_resamples=40),
        "texts": fs.audit.texts(master, ATTRIBUTES),
        "stability": flips,
    }
    check_golden(
        "audit",
        audit.VERSION,
        {"audit": table.drop("attribute", "source", "by", "group")}
        | tables
        | {
            "options_alone": fs.audit.options(master, scored),
            "crosstalk_alone": fs.audit.crosstalk(master.head(20), scored),
            "crosstalk_of_few": fs.audit.crosstalk(master.head(19), scored),
            "sets": sets.select(pl.col("^.*_set$").list.len())[::5],
            "sources_of_sets": sets.select(pl.col("^.*_set_source$").first()),
            "variants": variants["embedding"],
            "whole_variants": variants["embedding_full"],
            "findings": fs.audit.findings(audit=table, **tables),
            "near_the_limits": fs.audit.findings(**near_the_limits()),
        },
    )
