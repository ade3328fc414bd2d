from __future__ import annotations

import hashlib

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facestats.attributes import fit_probes, label_attributes
from facestats.core.config import AttributeSettings
from facestats.core.protocols import ModelError
from facestats.core.tables import ATTRIBUTES, TableError, check_table

DIM = 12


class HashEncoder:
    """Encodes every text as noise that its letters seed."""

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


def probs(frame, name):
    return frame[f"{name}_probs"].to_numpy()


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(["red", "green", "blue", "grey"]), seed=st.integers(0, 99))
def test_permuting_the_options_permutes_the_columns(order, seed):
    first = ["red", "green", "blue", "grey"]
    a = label_attributes(table(seed=seed), HashEncoder(), {"hair": attribute(first)})
    b = label_attributes(table(seed=seed), HashEncoder(), {"hair": attribute(order)})
    assert np.allclose(probs(a, "hair")[:, [first.index(o) for o in order]], probs(b, "hair"), atol=1e-6)
    assert a["hair"].cast(pl.String).equals(b["hair"].cast(pl.String))


@settings(max_examples=25, deadline=None)
@given(nulls=st.sets(st.integers(0, 19)), seed=st.integers(0, 99))
def test_the_columns_agree_with_each_other_and_nulls_stay_null(nulls, seed):
    options = ["a", "b", "c"]
    frame = label_attributes(table(nulls=nulls, seed=seed), HashEncoder(), {"x": attribute(options)})
    check_table(frame, ATTRIBUTES)
    assert frame.schema["x"] == pl.Enum(options)
    assert frame.schema["x_probs"] == pl.Array(pl.Float32, 3)
    for column in ("x", "x_score", "x_margin", "x_probs"):
        assert frame[column].is_null().to_list() == [i in nulls for i in range(20)]
    kept = frame.drop_nulls("x")
    if kept.is_empty():
        return
    p = probs(kept, "x")
    ranked = np.sort(p, axis=1)
    assert np.abs(p.sum(axis=1) - 1).max() < 1e-6
    assert kept["x"].to_list() == [options[i] for i in p.argmax(axis=1)]
    assert np.allclose(kept["x_score"], ranked[:, -1], atol=1e-6)
    assert np.allclose(kept["x_margin"], ranked[:, -1] - ranked[:, -2], atol=1e-6)


def test_the_probabilities_are_those_of_the_written_out_rule():
    frame, encoder, x = table(5), HashEncoder(), attribute(["a", "b"])
    anchors = []
    for prompts in x.image_prompts().values():
        mean = encoder.encode_texts(prompts).mean(axis=0)
        anchors.append(mean / np.linalg.norm(mean))
    logits = 20.0 * frame["embedding"].to_numpy() @ np.stack(anchors).T
    want = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.allclose(probs(label_attributes(frame, encoder, {"x": x}), "x"), want, atol=1e-6)


def test_adding_an_attribute_changes_no_other():
    one = {"x": attribute(["a", "b", "c"])}
    two = {"w": attribute(["d", "e"], view="full"), **one}
    alone = label_attributes(table(), HashEncoder(), one)
    assert label_attributes(table(), HashEncoder(), two).select(alone.columns).equals(alone)


def test_each_row_is_labelled_by_itself():
    frame, attributes = table(), {"x": attribute(["a", "b"]), "y": attribute(["c", "d"], view="full")}
    whole = label_attributes(frame, HashEncoder(), attributes)
    parts = pl.concat([label_attributes(frame[i : i + 7], HashEncoder(), attributes) for i in (0, 7, 14)])
    for name in ("x", "y"):
        assert whole[name].equals(parts[name])
        assert np.allclose(probs(whole, name), probs(parts, name), atol=1e-6)


def test_the_view_says_which_vector_is_read():
    frame = table()
    swapped = frame.rename({"embedding": "embedding_full", "embedding_full": "embedding"})
    face = label_attributes(frame, HashEncoder(), {"x": attribute(["a", "b"])})
    full = label_attributes(swapped, HashEncoder(), {"x": attribute(["a", "b"], view="full")})
    assert face.equals(full)


def test_every_prompt_is_encoded_once():
    encoder = HashEncoder()
    label_attributes(table(), encoder, {"x": attribute(["a", "b"]), "y": attribute(["b", "c"], view="full")})
    assert len(encoder.seen) == len(set(encoder.seen)) == 3 * 4


def test_vectors_of_the_face_alone_serve_the_attributes_of_the_face():
    frame = table(columns=("embedding",))
    assert label_attributes(frame, HashEncoder(), {"x": attribute(["a", "b"])}).height == 20
    with pytest.raises(TableError, match=r"'dress'.*'embedding_full'"):
        label_attributes(frame, HashEncoder(), {"dress": attribute(["a", "b"], view="full")})


def test_vectors_of_another_model_are_refused():
    encoder = HashEncoder()
    encoder.dim = 512
    with pytest.raises(TableError, match=r"12 dimensions.*512"):
        label_attributes(table(), encoder, {"x": attribute(["a", "b"])})
    lists = table().with_columns(pl.col("embedding").arr.to_list())
    with pytest.raises(TableError, match="List"):
        label_attributes(lists, HashEncoder(), {"x": attribute(["a", "b"])})


def test_no_rows_are_a_table_without_rows():
    frame = label_attributes(table(0), HashEncoder(), {"x": attribute(["a", "b"])})
    assert frame.height == 0
    assert frame.columns == ["image_id", "x", "x_score", "x_margin", "x_probs"]


def said(frame, attribute, values, reason=None):
    """Labels by people, as fs.human_labels.read gives them."""
    return frame.select(
        "image_id",
        attribute=pl.lit(attribute),
        value=pl.Series(values, dtype=pl.String),
        agreement=pl.lit(1, pl.Float32),
        n_labellers=pl.lit(1, pl.Int32),
        reason=pl.lit(reason, pl.String),
    )


def learnable(n=120):
    """Vectors whose first dimension decides, and labels of "x" that follow it: prompts know nothing of that."""
    frame = table(n)
    first = frame["embedding"].to_numpy()[:, 0]
    return frame, said(frame, "x", np.where(first > 0, "a", "b"))


def test_a_probe_that_beats_the_prompts_gets_columns_of_its_own():
    frame, labels = learnable()
    attributes = {"x": attribute(["a", "b"]), "y": attribute(["c", "d"], view="full")}
    probes = fit_probes(frame, labels, encoder=HashEncoder(), attributes=attributes, seed=0)
    assert list(probes.promoted) == ["x"]
    row = probes.report.row(0, named=True)
    assert row["accuracy"] > 0.85
    assert row["gain_low"] > 0
    plain = label_attributes(frame, HashEncoder(), attributes)
    probed = label_attributes(frame, HashEncoder(), attributes, probes=probes)
    assert probed.select(plain.columns).equals(plain)
    assert probed.columns == [*plain.columns, "probe_x", "probe_x_score", "probe_x_margin", "probe_x_probs"]
    assert probed.schema["probe_x"] == pl.Enum(["a", "b"])
    # what the table says of a picture that was learnt from is what the test has measured
    assert (probed["probe_x"].cast(pl.String) == labels["value"]).mean() == pytest.approx(row["accuracy"])
    new = table(40, seed=9).with_columns(image_id="new" + pl.col("image_id"))
    found = label_attributes(new, HashEncoder(), attributes, probes=probes)["probe_x"]
    wanted = np.where(new["embedding"].to_numpy()[:, 0] > 0, "a", "b")
    assert (found.cast(pl.String).to_numpy() == wanted).mean() > 0.85


def test_a_probe_that_is_no_better_stays_out():
    frame = table(60)
    truth = label_attributes(frame, HashEncoder(), {"x": attribute(["a", "b"])})["x"].cast(pl.String)
    probes = fit_probes(
        frame, said(frame, "x", truth), encoder=HashEncoder(), attributes={"x": attribute(["a", "b"])}, seed=0
    )
    assert list(probes.fitted) == ["x"]
    assert probes.promoted == {}
    assert probes.report["zero_shot"].to_list() == [1.0]
    out = label_attributes(frame, HashEncoder(), {"x": attribute(["a", "b"])}, probes=probes)
    assert not [c for c in out.columns if c.startswith("probe")]


def test_without_prompts_the_report_says_so():
    frame, labels = learnable()
    probes = fit_probes(frame, labels, encoder="hash", attributes={"x": attribute(["a", "b"])}, seed=0)
    assert probes.report["why"].to_list() == ["no zero-shot labels to compare with"]
    assert probes.promoted == {}


def test_hard_rows_are_not_tested_on_and_rows_without_a_vector_not_learnt_from():
    frame, labels = learnable()
    nulls = frame.with_columns(embedding=pl.when(pl.int_range(pl.len()) >= 10).then("embedding"))
    reasons = pl.Series(["low_margin"] * 50 + ["random"] * 40 + [None] * 30)
    marked = labels.with_columns(reason=reasons)
    probes = fit_probes(nulls, marked, encoder=HashEncoder(), attributes={"x": attribute(["a", "b"])}, seed=0)
    assert probes.report.select("n", "n_tested").row(0) == (110, 70)


def test_pictures_of_few_persons_are_not_tested_as_if_they_were_many():
    frame, labels = learnable()
    attributes = {"x": attribute(["a", "b"])}
    named = labels.with_columns(person=pl.Series([f"person {i % 9}" for i in range(120)]))
    probes = fit_probes(frame, named, encoder=HashEncoder(), attributes=attributes, seed=0)
    assert probes.report["why"].to_list() == ["9 different persons, 10 are needed"]
    alone = labels.with_columns(person=pl.lit(None, pl.String))
    found = fit_probes(frame, alone, encoder=HashEncoder(), attributes=attributes, seed=0)
    plain = fit_probes(frame, labels, encoder=HashEncoder(), attributes=attributes, seed=0)
    assert found.report.equals(plain.report)


def test_probes_are_kept_until_something_changes(tmp_path):
    frame, labels = learnable()
    file, attributes, encoder = tmp_path / "p.safetensors", {"x": attribute(["a", "b"])}, HashEncoder()
    first = fit_probes(frame, labels, encoder=encoder, attributes=attributes, seed=0, file=file)
    seen = len(encoder.seen)
    again = fit_probes(frame, labels, encoder=encoder, attributes=attributes, seed=0, file=file)
    assert again.name == first.name
    assert len(encoder.seen) == seen  # nothing was computed
    fewer = fit_probes(frame, labels[1:], encoder=encoder, attributes=attributes, seed=0, file=file)
    assert fewer.name != first.name
    file.write_bytes(b"damaged")
    assert (
        fit_probes(frame, labels, encoder=encoder, attributes=attributes, seed=0, file=file).name
        == first.name
    )


def test_probes_of_other_settings_are_not_taken_for_these(tmp_path):
    frame, labels = learnable()
    file, chosen = tmp_path / "p.safetensors", {"attributes": {"x": attribute(["a", "b"])}, "seed": 0}
    encoder = HashEncoder()
    unprompted = fit_probes(frame, labels, encoder=encoder.name, file=file, **chosen)
    assert unprompted.promoted == {}
    prompted = fit_probes(frame, labels, encoder=encoder, file=file, **chosen)
    assert list(prompted.promoted) == ["x"]
    looser = fit_probes(frame, labels, encoder=encoder, file=file, min_cosine=0.5, **chosen)
    assert len({unprompted.name, prompted.name, looser.name}) == 3


def test_probes_read_of_a_lazy_table_what_is_labelled():
    frame, labels = learnable()
    given = {"attributes": {"x": attribute(["a", "b"])}, "seed": 0}
    some = labels.head(80)
    eager, lazy = (fit_probes(f, some, encoder=HashEncoder(), **given) for f in (frame, frame.lazy()))
    assert lazy.name == eager.name
    assert lazy.report.equals(eager.report)
    assert fit_probes(frame.lazy(), labels.head(0), encoder=HashEncoder(), **given).report.is_empty()


def test_no_labels_are_no_probes():
    frame, labels = learnable()
    probes = fit_probes(
        frame, labels.head(0), encoder=HashEncoder(), attributes={"x": attribute(["a", "b"])}, seed=0
    )
    assert probes.report.is_empty()
    assert label_attributes(frame, HashEncoder(), {"x": attribute(["a", "b"])}, probes=probes).width == 5


def test_probes_of_other_vectors_options_and_pictures_are_refused():
    frame, labels = learnable()
    attributes, encoder = {"x": attribute(["a", "b"])}, HashEncoder()
    probes = fit_probes(frame, labels, encoder=encoder, attributes=attributes, seed=0)
    with pytest.raises(ModelError, match=r"\['a', 'b'\], the configuration has \['b', 'a'\]"):
        label_attributes(frame, encoder, {"x": attribute(["b", "a"])}, probes=probes)
    encoder.name = "other"
    with pytest.raises(ModelError, match="vectors of 'hash', not of 'other'"):
        label_attributes(frame, encoder, attributes, probes=probes)
    strangers = labels.with_columns(image_id="s" + pl.col("image_id"))
    with pytest.raises(TableError, match="no label speaks of a picture in embeddings; they name 'si0'"):
        fit_probes(frame, strangers, encoder=encoder, attributes=attributes, seed=0)
