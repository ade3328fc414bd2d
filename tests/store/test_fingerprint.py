"""Hashes of rows and descriptions of stages: the same on every machine, and changed by whatever changes a result."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facestats as fs
from facestats.store.fingerprint import (
    as_recorded,
    describe_stage,
    describe_value,
    mix_hashes,
    row_hashes,
    translate_stage,
)


@given(st.lists(st.tuples(st.text(), st.integers(), st.floats(allow_nan=False)), min_size=1))
def test_equal_rows_hash_alike_and_others_do_not(rows):
    df = pl.DataFrame(
        {"image_id": [r[0] for r in rows], "a": [str(r[1]) for r in rows], "b": [r[2] for r in rows]}
    )
    hashes = row_hashes(df)
    assert (hashes == row_hashes(df.clone())).all()
    assert len(set(hashes.tolist())) == len({repr(row) for row in df.iter_rows()})


def test_paths_do_not_count_and_stored_fingerprints_do():
    df = pl.DataFrame({"image_id": ["a"], "path": ["/one/a"]})
    assert row_hashes(df) == row_hashes(df.with_columns(path=pl.lit("/two/a")))
    marked = df.with_columns(fingerprint=pl.lit(7, pl.UInt64))
    assert row_hashes(marked).tolist() == [7]


def test_row_hashes_are_the_same_in_every_version():
    df = pl.DataFrame({"image_id": ["a.jpg"], "bytes": [12], "mtime_ns": [34]})
    assert row_hashes(df).tolist() == [17635625229399693540]
    assert mix_hashes(row_hashes(df), 1).tolist() == [1316459969535049602]


def label(chunk, **settings):
    """A stage."""
    return chunk.with_columns(**settings)


def test_paths_and_workers_do_not_make_a_table_stale():
    one = describe_stage(label, {"folder": Path("a"), "workers": 1, "word": "x"})
    assert one == describe_stage(label, {"folder": Path("b"), "workers": 2, "word": "x"})
    assert one != describe_stage(label, {"word": "y"})
    with pytest.raises(TypeError, match="cannot be recorded"):
        describe_stage(label, {"word": object()})


PICTURE_SIDE = {"image_templates": ("one of {}",), "view": "full"}
TEXT_SIDE = {"text_templates": ("Two {}.",), "text_question": "Does it say?"}


def change(settings, *, option, **fields):
    """Change fields of an attribute, and one field of its first option."""
    (first, old), *others = settings.options.items()
    new = old.model_copy(update={option: ("something else",)})
    return settings.model_copy(update={**fields, "title": "T", "options": {first: new, **dict(others)}})


@pytest.mark.parametrize(
    ("stage", "read", "not_read"),
    [
        (fs.label_attributes, {"option": "image", **PICTURE_SIDE}, {"option": "text", **TEXT_SIDE}),
        (fs.label_texts, {"option": "text", **TEXT_SIDE}, {"option": "image", **PICTURE_SIDE}),
    ],
)
def test_a_prompt_counts_only_for_the_stage_that_reads_it(stage, read, not_read):
    attributes = fs.testing.example_project().attributes
    age = attributes["age"]

    def described(settings):
        return describe_stage(stage, {"attributes": attributes | {"age": settings}})

    assert described(change(age, **not_read)) == described(age)
    for field, value in read.items():
        other = change(age, **not_read | ({"option": value} if field == "option" else {field: value}))
        assert described(other) != described(age), field
    renamed = age.model_copy(update={"options": {f"{k}!": v for k, v in age.options.items()}})
    assert described(renamed) != described(age)


def test_a_prompt_that_does_not_count_does_not_change_the_result():
    project = fs.testing.example_project()
    plain = project.attributes
    spoken = {name: change(a, option="text", **TEXT_SIDE) for name, a in plain.items()}
    given = (project.embeddings, project.encoder)
    assert fs.label_attributes(*given, spoken).equals(fs.label_attributes(*given, plain))
    seen = {name: change(a, option="image", **PICTURE_SIDE) for name, a in plain.items()}
    for more in ({}, {"ask_first": True, "lexicon": True}):
        found = [fs.label_texts(project.captions, project.classifier, a, **more) for a in (seen, plain)]
        assert found[0].equals(found[1])


def test_an_option_may_be_called_like_a_setting_that_does_not_count():
    age = fs.testing.example_project().attributes["age"]
    texts = age.model_copy(
        update={"options": dict(zip(("text", "image"), age.options.values(), strict=True))}
    )
    described = describe_stage(fs.label_texts, {"attributes": {"age": texts}})
    assert list(described["params"]["attributes"]["age"]["options"]) == ["text", "image"]
    assert translate_stage(described, "text_labels") == described


def test_a_table_of_an_earlier_release_which_recorded_all_settings_stays_fresh():
    attributes = fs.testing.example_project().attributes
    everything = describe_value(attributes)  # no field is left out
    for stage, table in ((fs.label_attributes, "attributes"), (fs.label_texts, "text_labels")):
        now = describe_stage(stage, {"attributes": attributes, "threshold": 0.5})
        stored = {**now, "params": {"attributes": everything, "threshold": 0.5}}
        assert stored != now
        assert translate_stage(stored, table) == now
        assert as_recorded(now, stored, table) is stored
