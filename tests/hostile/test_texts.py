"""Whatever stands in a file of texts, its reader gives a value, or a sentence that names the file and where possible the line."""

import contextlib
import json
import os
import re

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing.parametric import column, dataframes

import facestats as fs
from facestats.core.config import ConfigError, load_config
from facestats.core.tables import TableError
from facestats.human_labels.answers_file import LabelError
from facestats.inputs.captions import list_captions
from facestats.inputs.metadata import read_metadata, read_people, read_rights
from facestats.inputs.textfiles import CaptionError, read_table
from facestats.surfaces.cli.extract import list_texts

SENTENCES = (CaptionError, TableError, LabelError, ConfigError, FileNotFoundError)
PROJECT = fs.testing.example_project()
ATTRIBUTES = PROJECT.attributes
# what a reader looks for, what breaks it, and anything else
WORDS = st.one_of(
    st.sampled_from(
        ["file_name", "image_id", "text", "caption", "id", "rater_id", "rating", "trait", "attribute", "value", "labeller", "labelled_at", "true_gender", "gender", "male", "person", "licence", "a.png", "b.png", "5", "sep=;", "=1+1", "1e308", "-1e999", "nan", "NA", "null", "true", "{", "}", "[", "]", ":", ",", ";", "|", "&a", "*a", "<<:", "---", "0o9", "!!python/object:os.system", "raw_dir:", "faces:", '"', "'", '{"file_name":"a.png","text":', "\\ud800", "[[[[", "%YAML"]
    ),
    st.sampled_from(["", " ", "\t", "\n", "\r", "\r\n", "\0", "\ufeff", "- ", "? ", "> ", "9" * 400, "\u2028", "\ud83d"]),
    st.text(max_size=5),
)  # fmt: skip
TEXTS = st.lists(WORDS, max_size=25).map("".join)
CONTENTS = st.one_of(
    TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")),
    TEXTS.map(lambda text: text.encode("utf-16", "surrogatepass")),
    TEXTS.map(lambda text: text.encode("cp1252", "replace")),
    st.binary(max_size=60),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=12,
)
N_EXAMPLES = int(os.environ.get("FACESTATS_HOSTILE_EXAMPLES", "10"))  # make hostile tries more
fuzz = settings(
    max_examples=N_EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def readers(file):
    """Return what may read the file, each in its own way."""
    raw = file.parent
    found = [
        lambda: read_table(file),
        lambda: list_captions(file),
        lambda: list_captions(file, text="text"),
        lambda: list_texts(file),
        lambda: list_texts(file, id_column="image_id"),
        lambda: fs.ratings.read(file),
        lambda: fs.ratings.read(file, pictures=raw),
        lambda: fs.human_labels.read(file, ATTRIBUTES),
        lambda: fs.human_labels.read_truth(file, ATTRIBUTES),
    ]
    if file.name.startswith("metadata"):
        found += [
            lambda: list_captions(raw),
            lambda: read_metadata(raw),
            lambda: read_rights(raw),
            lambda: read_people(raw, "person"),
            lambda: fs.human_labels.read_truth(raw, ATTRIBUTES),
        ]
    return found


def check_all(file):
    for read in readers(file):
        try:
            assert read() is not None
        except SENTENCES as error:
            check_sentence(str(error), file)


def check_sentence(said, file):
    assert file.name in said or str(file.parent) in said, said
    assert "Traceback" not in said
    assert len(said) < 5000 + 20 * len(str(file))


@pytest.fixture
def raw(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes((PROJECT.raw_dir / "face_000.png").read_bytes())
    return tmp_path


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
@fuzz
@given(content=CONTENTS)
def test_any_bytes(raw, suffix, content):
    file = raw / f"metadata.{suffix}"
    file.write_bytes(content)
    check_all(file)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
@fuzz
@given(values=st.lists(JSON, max_size=4))
def test_any_json(raw, suffix, values):
    file = raw / f"metadata.{suffix}"
    lines = [json.dumps(value) for value in values]
    file.write_text("\n".join(lines) if suffix == "jsonl" else json.dumps(values))
    check_all(file)


NAMES = ("file_name", "text", "person", "rater_id", "rating", "trait", "true_gender", "attribute", "value")
FRAMES = dataframes(
    [column(name, strategy=None) for name in NAMES[:2]] + [column(name) for name in NAMES[2:5]],
    min_size=0,
    max_size=4,
    allow_null=True,
    excluded_dtypes=[pl.Object],
)


@fuzz
@given(frame=FRAMES)
def test_columns_of_any_type(raw, frame):
    file = raw / "metadata.parquet"
    frame.write_parquet(file)
    check_all(file)


@fuzz
@given(
    places=st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=4), end=st.floats(0.1, 1)
)
def test_a_damaged_parquet(raw, places, end):
    file = raw / "metadata.parquet"
    pl.DataFrame({"file_name": ["a.png", "b.png"], "text": ["x", "y"], "rating": [1.5, 2]}).write_parquet(
        file
    )
    data = bytearray(file.read_bytes())
    for place, value in places:
        data[int(place * len(data))] = value
    file.write_bytes(data[: int(end * len(data))])
    check_all(file)


@settings(fuzz, max_examples=5 * N_EXAMPLES)
@given(content=CONTENTS)
def test_any_configuration(tmp_path, content):
    file = tmp_path / "facestats.yaml"
    file.write_bytes(content)
    try:
        assert load_config(file) is not None
    except ConfigError as error:
        check_sentence(str(error), file)


@pytest.mark.parametrize("column", ["text", "file_name"])
def test_columns_of_bytes_or_numbers_are_texts_or_are_named(raw, caplog, column):
    file = raw / "metadata.parquet"
    values = {"file_name": ["a.png", "b.png"], "text": ["x", "y"]}
    good = pl.DataFrame(values | {column: [value.encode() for value in values[column]]})
    good.write_parquet(file)
    assert list_captions(raw)["text"].to_list() == ["x", "y"]
    pl.DataFrame(values | {column: [b"\xff\xfe\xfd", b"\x80"]}).write_parquet(file)
    with (
        pytest.raises(SENTENCES, match="metadata.parquet")
        if column == "file_name"
        else contextlib.nullcontext()
    ):
        assert list_captions(raw)["text"].null_count() == 2
    assert re.search(rf"metadata\.parquet: the column '{column}' holds Binary", caplog.text)
    pl.DataFrame(values | {"text": [1.0, 2.5]}).write_parquet(file)
    assert list_captions(raw)["text"].to_list() == ["1.0", "2.5"]


def test_ratings_in_a_damaged_parquet_or_out_of_range_are_named(tmp_path):
    file = tmp_path / "ratings.parquet"
    file.write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(TableError, match=r"ratings\.parquet cannot be read as Parquet"):
        fs.ratings.read(file)
    rows = {"image_id": ["a", "b"], "rater_id": ["Ann", "Ann"], "rating": [1.0, 1e308]}
    with pytest.raises(TableError, match=r"'b'.*1e\+308"):
        fs.ratings.read(pl.DataFrame(rows))


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_a_lone_surrogate_in_the_name_of_a_column_is_replaced(raw, suffix):
    file = raw / f"metadata.{suffix}"
    file.write_text('{"file_name": "a.png", "text": "x", "\\ud83d": "y"}')
    assert read_table(file).columns == ["file_name", "text", "?"]
