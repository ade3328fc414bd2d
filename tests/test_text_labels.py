from __future__ import annotations

import json
import logging

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facestats.core.config import AttributeSettings
from facestats.core.tables import TEXT_LABELS, TableError, check_table
from facestats.text_labels import CaptionError, label_texts, list_captions


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


def attribute(options, templates=("The person {}.",)):
    return AttributeSettings.model_validate(
        {
            "title": "X",
            "image_templates": ["a photo of {}."],
            "text_templates": templates,
            "options": {o: {"image": [o], "text": [f"is {o}"]} for o in options},
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


def pictures(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20)).save(folder / name)


def found(folder):
    return dict(list_captions(folder).iter_rows())


TRICKY = ["plain", 'quotes " and, commas', "two\nlines", "=HYPERLINK()", "007", "ünïcödé 日本 🎉"]


def write_csv(file, rows, *, separator=",", encoding="utf-8"):
    import csv

    with file.open("w", newline="", encoding=encoding) as stream:
        writer = csv.writer(stream, delimiter=separator)
        writer.writerow(["file_name", "text"])
        writer.writerows(rows)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("kind", ["csv", "semicolon", "tab", "jsonl", "parquet", "txt"])
def test_captions_come_back_as_they_were_written(tmp_path, kind, encoding):
    names = [f"p{i}.jpg" for i in range(len(TRICKY))]
    pictures(tmp_path, *names)
    rows = list(zip(names, TRICKY, strict=True))
    if kind in {"csv", "semicolon", "tab"}:
        separator = {"csv": ",", "semicolon": ";", "tab": "\t"}[kind]
        write_csv(tmp_path / "metadata.csv", rows, separator=separator, encoding=encoding)
    elif kind == "jsonl":
        lines = [json.dumps({"file_name": n, "text": t, "width": 3}, ensure_ascii=False) for n, t in rows]
        (tmp_path / "metadata.jsonl").write_text("\n".join(lines), encoding=encoding)
    elif kind == "parquet":
        pl.DataFrame(rows, schema=["file_name", "caption"], orient="row").write_parquet(
            tmp_path / "metadata.parquet"
        )
    else:
        for name, text in rows:
            (tmp_path / name).with_suffix(".txt").write_text(text, encoding=encoding)
    assert found(tmp_path) == dict(rows)


def test_metadata_files_speak_of_their_own_folder(tmp_path):
    pictures(tmp_path, "a.jpg", "sub/a.jpg", "sub/deep/b.png", "c.jpg")
    write_csv(tmp_path / "metadata.csv", [("a.jpg", "top"), ("./sub/deep/../a.jpg", "below")])
    write_csv(tmp_path / "sub" / "metadata.csv", [("deep\\b.png", "deep")])
    assert found(tmp_path) == {"a.jpg": "top", "sub/a.jpg": "below", "sub/deep/b.png": "deep", "c.jpg": None}


def test_captions_without_a_picture_are_counted(tmp_path, caplog):
    pictures(tmp_path, "a.jpg")
    write_csv(tmp_path / "metadata.csv", [("a.jpg", "x"), ("b.jpg", "y"), ("../a.jpg", "z"), ("c.jpg", "")])
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path) == {"a.jpg": "x"}
    assert "2 captions name no picture" in caplog.text


def test_two_captions_for_one_picture_are_an_error_that_names_it(tmp_path):
    pictures(tmp_path, "a.jpg", "b.jpg")
    write_csv(tmp_path / "metadata.csv", [("a.jpg", "x"), ("b.jpg", "y")])
    (tmp_path / "b.txt").write_text("z")
    with pytest.raises(CaptionError, match=r"'b\.jpg'.*metadata\.csv.*b\.txt"):
        list_captions(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("metadata.csv", b"file_name,label\na.jpg,x\n", ["metadata.csv", "label", "text or caption"]),
        ("metadata.csv", b"a.jpg,x\n", ["metadata.csv", "file_name"]),
        ("metadata.csv", b"", ["metadata.csv"]),
        ("metadata.csv", b"file_name,text\na.jpg,x,y,z\n", ["metadata.csv"]),
        ("metadata.csv", b"file_name,text\na.jpg,x\nb.jpg,caf\xe9\n", ["metadata.csv", "line 3", "UTF-8"]),
        (
            "metadata.jsonl",
            b'{"file_name": "a.jpg", "text": "x"}\n{"file_name":\n',
            ["metadata.jsonl", "line 2"],
        ),
        ("metadata.jsonl", b"[1]\n", ["metadata.jsonl", "line 1"]),
        ("metadata.jsonl", b"[" * 100_000, ["metadata.jsonl", "line 1"]),
        ("metadata.parquet", b"PAR1 no PAR1", ["metadata.parquet"]),
        ("a.txt", b"ok\n\xff\xfe\xfd", ["a.txt", "line 2"]),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, *, name, content, words):
    pictures(tmp_path, "a.jpg")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CaptionError) as error:
        list_captions(tmp_path)
    assert all(word in str(error.value) for word in words)


def test_a_lone_surrogate_costs_one_character(tmp_path):
    pictures(tmp_path, "a.jpg")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "a.jpg", "text": "x\\ud800y"}')
    assert found(tmp_path) == {"a.jpg": "x?y"}
