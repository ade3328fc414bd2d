from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facestats.attributes import label_attributes
from facestats.core.tables import ATTRIBUTES, TableError, check_table
from tests.attributes.hash_encoder import HashEncoder, attribute, table


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
