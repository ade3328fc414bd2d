import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

import facestats as fs
from facestats.attributes.probes import CURVE, REPORT, Probe, Probes, probes_name
from facestats.core.attribute_settings import AttributeSettings
from facestats.core.protocols import ModelError

OPTIONS = ("red", "black", "blonde")


def probe(dim=4, members=("a", "b")):
    rng = np.random.default_rng(0)
    held_out = np.full((len(members), 3), 1 / 3, dtype=np.float32)
    weights, bias = rng.normal(size=(3, dim)), np.array([0, 1, -np.inf])
    return Probe(OPTIONS, "face", weights.astype(np.float32), bias.astype(np.float32), held_out, members)


def probes(promoted=("hair",), **fitted):
    fitted = fitted or {"hair": probe(), "eyes": probe()}
    rows = [{"attribute": name, "n": 2, "promoted": name in promoted, "why": "é"} for name in fitted]
    curve = pl.DataFrame([{"attribute": "hair", "n_labels": 2, "accuracy": 0.5}], schema=CURVE)
    return Probes("probes@1", "clip@1", fitted, pl.DataFrame(rows, schema=REPORT), curve)


def unit(n, dim=4, seed=1):
    vectors = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_probabilities_are_the_softmax_of_the_logits_and_sum_to_one():
    one, vectors = probe(), unit(6)
    found = one.probabilities(pl.Series([f"x{i}" for i in range(6)]), vectors)
    logits = vectors[:, :] @ one.weights[:2].T + one.bias[:2]
    assert np.allclose(found[:, :2], np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), atol=1e-6)
    assert (found[:, 2] == 0).all()
    assert np.allclose(found.sum(axis=1), 1)


def test_a_picture_that_was_learned_from_is_labelled_by_the_fold_that_had_not_seen_it():
    one, vectors = probe(), unit(3)
    found = one.probabilities(pl.Series(["b", "x", "a"]), vectors)
    assert np.allclose(found[[0, 2]], 1 / 3)
    assert np.allclose(found[1], one.probabilities(pl.Series(["y"]), vectors[1:2])[0])
    with pytest.raises(ModelError, match="reads 4 dimensions, the vectors have 5"):
        one.probabilities(pl.Series(["x"]), unit(1, dim=5))


def test_what_is_saved_is_what_is_loaded(tmp_path):
    before = probes()
    after = fs.attributes.load_probes(before.save(tmp_path / "sub/probes.safetensors"), "clip@1")
    assert (after.name, after.encoder) == (before.name, before.encoder)
    assert after.report.equals(before.report)
    assert after.curves.equals(before.curves)
    assert list(after.promoted) == ["hair"]
    ids, vectors = pl.Series(["a", "x"]), unit(2)
    for name, one in before.fitted.items():
        assert np.array_equal(one.probabilities(ids, vectors), after.fitted[name].probabilities(ids, vectors))
        assert after.fitted[name].options == OPTIONS
    assert [p.name for p in (tmp_path / "sub").iterdir()] == ["probes.safetensors"]


def test_no_probes_can_be_saved_too(tmp_path):
    none = Probes("probes@0", "clip@1", {}, pl.DataFrame(schema=REPORT), pl.DataFrame(schema=CURVE))
    after = fs.attributes.load_probes(none.save(tmp_path / "p.safetensors"), "clip@1")
    assert after.fitted == {}
    assert after.report.schema == none.report.schema


def test_probes_of_another_encoder_are_refused(tmp_path):
    file = probes().save(tmp_path / "p.safetensors")
    with pytest.raises(ModelError, match="read vectors of 'clip@1', not of 'clip@2'"):
        fs.attributes.load_probes(file, "clip@2")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no probes"):
        fs.attributes.load_probes(tmp_path / "none.safetensors", "clip@1")
    (tmp_path / "text.safetensors").write_text("no tensors")
    with pytest.raises(ModelError, match="holds no probes"):
        fs.attributes.load_probes(tmp_path / "text.safetensors", "clip@1")
    save_file({"x": np.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="expected 'facestats probes 1'"):
        fs.attributes.load_probes(tmp_path / "other.safetensors", "clip@1")


def test_the_name_follows_all_that_the_probes_depend_on_and_nothing_else():
    side = {"image": ["x"], "text": ["x"]}

    def attribute(template="{}"):
        settings = {"title": "X", "image_templates": [template], "text_templates": ["{}"]}
        return {
            "hair": AttributeSettings.model_validate({**settings, "options": dict.fromkeys(OPTIONS, side)})
        }

    ids = ["a", "b", "c"]
    vectors = pl.DataFrame({"image_id": ids, "fingerprint": pl.Series([1, 2, 3], dtype=pl.UInt64)})
    labels = pl.DataFrame({"image_id": ["a", "b"], "attribute": ["hair"] * 2, "value": ["red", "black"]})

    def name(vectors=vectors, labels=labels, encoder="clip@1", attributes=None, seed=0, **more):
        return probes_name(vectors, labels, encoder, attributes=attributes or attribute(), seed=seed, **more)

    same = [name(), name(vectors=vectors.reverse()), name(vectors=vectors.filter(pl.col("image_id") != "c"))]
    assert len(set(same)) == 1
    others = [
        name(encoder="clip@2"),
        name(seed=1),
        name(min_cosine=0.9),
        name(prompted=False),
        name(attributes=attribute("a {}")),
        name(labels=labels.with_columns(value=pl.Series(["red", "red"]))),
        name(vectors=vectors.with_columns(fingerprint=pl.Series([1, 5, 3], dtype=pl.UInt64))),
        name(labels=labels.with_columns(person=pl.Series(["anna", "ben"]))),
        name(labels=labels.with_columns(person=pl.Series(["anna", None]))),
    ]
    assert len({*same, *others}) == 10
