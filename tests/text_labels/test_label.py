from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facestats.core.attribute_settings import AttributeSettings
from facestats.core.tables import TEXT_LABELS, TableError, check_table
from facestats.testing import FakeEncoder, example_project
from facestats.text_labels.label import embed_texts, label_texts


class WordClassifier:
    """Entails a hypothesis whose last word the text contains."""

    name = "words"

    def __init__(self):
        self.calls = []

    def score(self, texts, hypotheses):
        self.calls.append((list(texts), list(hypotheses)))
        hit = np.array([[h.rstrip(".").split()[-1] in t.split() for h in hypotheses] for t in texts])
        hit = hit.reshape(len(texts), len(hypotheses))
        return np.stack([np.where(hit, -2.0, 2.0), np.where(hit, 3.0, -1.0)], axis=2).astype(np.float32)


def attribute(options, templates=("The person {}.",), question=None, tags=()):
    tags = dict(tags)
    return AttributeSettings.model_validate(
        {
            "title": "X",
            "text_question": question,
            "image_templates": ["a photo of {}."],
            "text_templates": templates,
            "options": {o: {"image": [o], "text": [f"is {o}"], "tags": tags.get(o, [])} for o in options},
        }
    )


HAIR = {"hair": attribute(["red", "black", "blonde"]), "age": attribute(["young", "old"])}


def captions(*texts):
    return pl.DataFrame(
        {"image_id": [f"i{k}" for k in range(len(texts))], "text": pl.Series(texts, dtype=pl.String)}
    )


def test_a_text_gets_what_it_states_and_null_for_the_rest():
    frame = label_texts(captions("an old man", "red hair", "nothing"), WordClassifier(), HAIR)
    check_table(frame, TEXT_LABELS)
    assert frame["text_age"].to_list() == ["old", None, None]
    assert frame["text_hair"].to_list() == [None, "red", None]
    assert frame.schema["text_hair"] == pl.Enum(["red", "black", "blonde"])
    assert frame.schema["text_hair_probs"] == pl.Array(pl.Float32, 3)
    assert frame["text_hair_score"].null_count() == 0


texts = st.lists(
    st.none() | st.sampled_from(["", " ", "red", "old black", "young", "x y", "red old"]), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(texts=texts, threshold=st.floats(0, 1))
def test_columns_agree_and_a_missing_text_has_no_labels(texts, threshold):
    frame = label_texts(captions(*texts), WordClassifier(), HAIR, threshold=threshold)
    assert frame["image_id"].to_list() == [f"i{k}" for k in range(len(texts))]
    said = [bool((t or "").strip()) for t in texts]
    for column in ("text_hair_score", "text_hair_margin", "text_hair_probs"):
        assert frame[column].is_not_null().to_list() == said
    kept = frame.drop_nulls("text_hair_score")
    assert (
        kept["text_hair"].is_not_null().to_list()
        == (kept["text_hair_score"] >= np.float32(threshold)).to_list()
    )
    if kept.height:
        probs = np.sort(kept["text_hair_probs"].to_numpy(), axis=1)
        assert np.abs(probs.sum(axis=1) - 1).max() < 1e-6
        assert np.allclose(kept["text_hair_margin"], probs[:, -1] - probs[:, -2], atol=1e-6)


def test_the_numbers_are_those_of_the_written_out_rule():
    row = label_texts(captions("red"), WordClassifier(), HAIR).row(0, named=True)
    e = np.exp([3.0, -1.0, -1.0])
    assert row["text_hair_probs"] == pytest.approx((e / e.sum()).tolist(), abs=1e-6)
    assert row["text_hair_score"] == pytest.approx(1 / (1 + np.exp(-5.0)), abs=1e-6)


def test_templates_are_averaged_in_logit_space():
    two = {"hair": attribute(["red", "black"], templates=("The person {}.", "{} it is, said nobody"))}
    row = label_texts(captions("red"), WordClassifier(), two).row(0, named=True)
    # the second template ends in "nobody", which the text lacks: contradiction 2, entailment -1
    assert row["text_hair_score"] == pytest.approx(1 / (1 + np.exp(-((3 - 1) / 2 - (-2 + 2) / 2))), abs=1e-6)


def test_equal_texts_and_hypotheses_are_scored_once():
    classifier = WordClassifier()
    doubled = {**HAIR, "again": HAIR["hair"]}
    label_texts(captions("red", "old", "red", None, "old"), classifier, doubled)
    (scored, hypotheses) = classifier.calls[0]
    assert scored == ["red", "old"]
    assert len(hypotheses) == len(set(hypotheses)) == 5


def test_adding_an_attribute_or_a_row_changes_no_other():
    one = {"age": HAIR["age"]}
    frame = captions("an old man", "red hair", None)
    alone = label_texts(frame, WordClassifier(), one)
    assert label_texts(frame, WordClassifier(), HAIR).select(alone.columns).equals(alone)
    assert label_texts(frame[:1], WordClassifier(), one).equals(alone[:1])


@pytest.mark.parametrize("texts", [(), (None, " ")])
def test_nothing_said_is_a_table_of_nulls(texts):
    frame = label_texts(captions(*texts), WordClassifier(), HAIR)
    assert frame.height == len(texts)
    assert frame["text_hair"].null_count() == len(texts)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="threshold"):
        label_texts(captions("a"), WordClassifier(), HAIR, threshold=1.5)
    with pytest.raises(TableError, match="text"):
        label_texts(pl.DataFrame({"image_id": ["a"]}), WordClassifier(), HAIR)


ASKED = {
    "hair": attribute(["red", "black"], question="The text tells of hair"),
    "age": attribute(["young", "old"], question="The text tells of age"),
    "mood": attribute(["glad", "sad"]),
}


def test_asking_first_puts_options_only_to_texts_that_speak_of_them():
    classifier = WordClassifier()
    frame = captions("red hair", "old", "an age of glad hair", None)
    out = label_texts(frame, classifier, ASKED, ask_first=True)
    asked = {h: list(texts) for texts, hs in classifier.calls for h in hs}
    assert asked["The text tells of hair"] == ["red hair", "old", "an age of glad hair"]
    assert asked["The person is red."] == ["red hair", "an age of glad hair"]
    assert asked["The person is old."] == ["an age of glad hair"]
    assert asked["The person is glad."] == ["red hair", "old", "an age of glad hair"], (
        "an attribute without a question is always scored"
    )
    assert out["text_hair"].to_list() == ["red", None, None, None]
    assert out["text_hair_probs"].is_null().to_list() == [False, True, False, True]
    assert out["text_hair_margin"].is_null().to_list() == [False, True, False, True]
    assert out["text_hair_score"].null_count() == 1, "the score of the question stays"
    check_table(out, TEXT_LABELS)


@settings(max_examples=40, deadline=None)
@given(texts=texts, ask=st.booleans(), lexicon=st.booleans())
def test_shortcuts_never_change_the_columns_and_keep_labels_above_the_threshold(texts, ask, lexicon):
    plain = label_texts(captions(*texts), WordClassifier(), ASKED)
    out = label_texts(captions(*texts), WordClassifier(), ASKED, ask_first=ask, lexicon=lexicon)
    assert [c for c in out.columns if not c.endswith("_span")] == plain.columns
    assert {c: out.schema[c] for c in plain.columns} == dict(plain.schema)
    for name in ASKED:
        labelled = out.drop_nulls(f"text_{name}")
        assert (labelled[f"text_{name}_score"] >= np.float32(0.5)).all()
        assert labelled[f"text_{name}_probs"].null_count() == 0


TAGGED = {"hair": attribute(["red", "black"], tags={"red": ["red hair", "ginger"], "black": ["black hair"]})}


def test_an_exact_tag_decides_and_the_classifier_sees_the_rest():
    classifier = WordClassifier()
    frame = captions("1girl, Red_Hair, smile", "red hair, black hair", "a girl with red hair.", "smile, hat")
    out = label_texts(frame, classifier, TAGGED, lexicon=True)
    assert classifier.calls[0][0] == frame["text"].to_list()[1:]
    assert out["text_hair_span"].to_list() == ["Red_Hair", None, None, None]
    assert out["text_hair"][0] == "red"
    assert out["text_hair_probs"][0].to_list() == [1.0, 0.0]
    assert "text_hair_span" not in label_texts(frame, WordClassifier(), TAGGED).columns


def test_texts_get_vectors_that_are_labelled_like_pictures():
    from facestats.attributes.zero_shot import label_attributes

    encoder = FakeEncoder()
    frame = embed_texts(captions("a photo of red.", None, " ", "a photo of red."), encoder)
    assert frame.columns == ["image_id", "embedding", "embedding_full"]
    assert frame["embedding"].is_null().to_list() == [False, True, True, False]
    assert frame["embedding"][0].to_list() == frame["embedding"][3].to_list()
    labels = label_attributes(frame, encoder, HAIR)
    assert labels["hair"].to_list() == ["red", None, None, "red"], "the text equals a prompt of this option"


def test_vectors_of_texts_are_stored_and_only_new_texts_are_encoded(tmp_path):
    import facestats as fs

    encoder, store = FakeEncoder(), fs.Store(tmp_path)
    first = store.build("text_embeddings", captions("a", "b"), embed_texts, encoder=encoder, progress=False)
    again = store.build(
        "text_embeddings", captions("a", "b", "c"), embed_texts, encoder=encoder, progress=False
    )
    assert again.head(2).equals(first)
    assert again.height == 3


def test_pictures_without_texts_need_no_classifier():
    project = example_project()
    empty = project.captions.with_columns(text=pl.lit(None, dtype=pl.String))
    for ask_first in (False, True):
        labels = label_texts(empty, None, project.attributes, ask_first=ask_first, lexicon=True)
        assert labels["image_id"].to_list() == empty["image_id"].to_list()
        assert labels.drop("image_id").null_count().row(0) == (labels.height,) * (labels.width - 1)
    with pytest.raises(ValueError, match="classifier is None; give fs.models.bart"):
        label_texts(project.captions, None, project.attributes)
