"""`Store.remember` reads a result again only if everything that it depends on is the same."""

from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

import facestats as fs
from facestats.composites.results import Composite
from facestats.store.calls import HASHED_AT_ONCE, call_key
from facestats.store.result_files import read_result, remembered_file, write_result
from facestats.testing import FakeEncoder

CALLS = []
FRAME = pl.DataFrame({"image_id": ["a", "b", None], "x": [1.5, None, 3.0], "tags": [["u"], None, []]})


def count(rows, *others, scale=1, encoder=None, folder=None, workers=1):
    CALLS.append(scale)
    return pl.DataFrame({"n": [rows.lazy().collect().height * scale]})


@pytest.fixture
def store(tmp_path):
    CALLS.clear()
    return fs.Store(tmp_path)


def calls():
    n = len(CALLS)
    CALLS.clear()
    return n


CHANGES = {
    "a value": {"rows": FRAME.with_columns(x=pl.Series([1.5, None, 4.0]))},
    "a null": {"rows": FRAME.with_columns(x=pl.Series([1.5, 0.0, 3.0]))},
    "the order of the rows": {"rows": FRAME.reverse()},
    "the order of the columns": {"rows": FRAME.select("x", "image_id", "tags")},
    "a name": {"rows": FRAME.rename({"x": "y"})},
    "a type": {"rows": FRAME.with_columns(pl.col("x").cast(pl.Float32))},
    "a row less": {"rows": FRAME.head(2)},
    "no row": {"rows": FRAME.head(0)},
    "a setting": {"rows": FRAME, "scale": 2},
    "a model": {"rows": FRAME, "encoder": FakeEncoder()},
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_changed_input_computes_again_and_only_the_last_result_is_kept(store, tmp_path, change):
    first = store.remember("n", count, FRAME)
    assert store.remember("n", count, FRAME).equals(first)
    assert calls() == 1
    changed = dict(CHANGES[change])
    expected = changed["rows"].height * changed.get("scale", 1)
    found = [store.remember("n", count, changed["rows"], **{k: v for k, v in changed.items() if k != "rows"})
             for _ in range(2)]  # fmt: skip
    assert [f["n"].to_list() for f in found] == [[expected]] * 2
    assert calls() == 1
    assert store.remember("n", count, FRAME).equals(first)
    assert calls() == 1
    assert len(list((tmp_path / "processed" / ".facestats" / "remembered").iterdir())) == 1


def test_what_cannot_change_the_result_does_not_count(store, capsys):
    store.remember("n", count, FRAME, folder=Path("here"))
    marked = FRAME.with_columns(fingerprint=pl.lit(7, pl.UInt64))
    joined = pl.concat([FRAME.head(1), FRAME]).tail(3)
    here = {"folder": Path("here")}
    for same in (
        lambda: store.remember("n", count, rows=FRAME, scale=1, **here),  # a default is a value like others
        lambda: store.remember("n", count, marked, **here),  # hashes stand for values; values are compared
        lambda: store.remember("n", count, joined, **here),  # other memory, the same rows
        lambda: store.remember("n", count, FRAME, folder=Path("elsewhere"), workers=3),
    ):
        same()
    assert calls() == 1
    assert capsys.readouterr().out.count("n: unchanged, read again\n") == 4


def test_another_function_or_another_version_of_its_code_computes_again(store):
    def double(rows, scale=1):
        return pl.DataFrame({"n": [2 * rows.height]})

    assert store.remember("n", count, FRAME)["n"][0] == 3
    assert store.remember("n", double, FRAME)["n"][0] == 6


def test_a_new_version_of_a_stage_computes_again(monkeypatch):
    before = call_key(fs.clusters.stability, [FRAME], {"n_clusters": [2]})
    monkeypatch.setattr(fs.clusters, "VERSION", fs.clusters.VERSION + 1)
    assert call_key(fs.clusters.stability, [FRAME], {"n_clusters": [2]}) != before


@given(st.lists(st.integers(1, 900), max_size=5))
@settings(deadline=None)
def test_a_lazy_frame_counts_like_itself_whatever_its_parts(sizes):
    rows = pl.DataFrame({"x": range(sum(sizes))}, schema={"x": pl.Int64})
    parts = [rows.slice(sum(sizes[:i]), n) for i, n in enumerate(sizes)] or [rows]
    whole, pieces = (call_key(count, [f], {}) for f in (rows.lazy(), pl.concat(parts, rechunk=False).lazy()))
    assert whole == pieces == call_key(count, [rows], {})


def test_a_lazy_frame_of_many_rows_is_hashed_in_parts():
    rows = pl.DataFrame({"x": range(2 * HASHED_AT_ONCE + 5)})
    assert call_key(count, [rows.lazy()], {}) == call_key(count, [rows], {})
    changed = rows.with_columns(pl.when(pl.col("x") == HASHED_AT_ONCE + 1).then(-1).otherwise("x").alias("x"))
    assert call_key(count, [changed.lazy()], {}) != call_key(count, [rows], {})


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(values)
@settings(deadline=None)
def test_values_come_back_as_they_were(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("r") / "r"
    write_result(path, value, key="k")
    (found,) = read_result(path, key="k")
    assert found == value
    assert repr(found) == repr(value)  # also tuples and whole floats
    assert read_result(path, key="other") is None


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3).T, np.zeros((0, 4), np.float32), np.array(2), np.array([True]), np.arange(3, dtype=np.uint8)[::-1]],
)  # fmt: skip
def test_arrays_come_back_as_they_were(tmp_path, array):
    write_result(tmp_path / "r", {"a": array}, key="k")
    (found,) = read_result(tmp_path / "r", key="k")
    np.testing.assert_array_equal(found["a"], array, strict=True)


def test_frames_and_dataclasses_come_back_as_they_were(tmp_path, store):
    project = fs.testing.example_project()
    frame = project.master.with_columns(pl.Series("one", [["x"]] * 12, dtype=pl.List(pl.String)))
    face = fs.average_faces(project.faces, project.crops_dir, method="warp")
    write_result(tmp_path / "r", (frame, {"face": face}), key="k")
    ((same_frame, faces),) = read_result(tmp_path / "r", key="k")
    assert same_frame.equals(frame, null_equal=True)
    assert same_frame.schema == frame.schema
    assert isinstance(faces["face"], Composite)
    for name in ("pixels", "sd", "shape"):
        np.testing.assert_array_equal(getattr(faces["face"], name), getattr(face, name), strict=True)
    assert (faces["face"].members, faces["face"].weights, faces["face"].settings) == (
        face.members, face.weights, face.settings)  # fmt: skip


def test_a_damaged_file_is_computed_again(store, tmp_path):
    store.remember("n", count, FRAME)
    path = remembered_file(store.tables_dir, "n")
    whole = path.read_bytes()
    for content in (b"", b"nonsense", whole[:-3], whole.replace(b"frame", b"fname")):
        path.write_bytes(content)
        calls()
        assert store.remember("n", count, FRAME)["n"][0] == 3
        assert calls() == 1


def test_a_file_makes_only_dataclasses_of_facestats(tmp_path):
    write_result(tmp_path / "r", {"class": ["subprocess", "Popen"]}, key="k")
    assert read_result(tmp_path / "r", key="k") == ({"class": ["subprocess", "Popen"]},)
    for target in ("subprocess.Popen", "facestats.store.store.Store"):
        module, name = target.rsplit(".", 1)
        tree = f'{{"class": ["{module}", "{name}"], "fields": {{}}}}'
        (tmp_path / "r").write_bytes(save({}, metadata={"key": "k", "result": tree}))
        assert read_result(tmp_path / "r", key="k") is None


@pytest.mark.parametrize("name", [".", "..", "../x", "a/b", "a\\b", "Schönheit", "con: 1?", "a%2Fb"])
def test_any_name_is_a_file_of_its_own_in_the_same_folder(store, name):
    store.remember("a/b ", count, FRAME)
    store.remember(name, count, FRAME)
    store.remember(name, count, FRAME)
    assert calls() == 2
    assert len(list((store.tables_dir / ".facestats" / "remembered").iterdir())) == 2


@pytest.mark.parametrize("name", ["", "x" * 201, "ä" * 100])
def test_a_name_that_is_empty_or_too_long_is_refused(store, name):
    with pytest.raises(ValueError, match="the name of a result needs 1 to 200 characters"):
        store.remember(name, count, FRAME)


def test_what_cannot_be_recorded_or_kept_is_refused(store):
    with pytest.raises(TypeError, match="a parameter of type ndarray cannot be recorded"):
        store.remember("n", count, FRAME, scale=np.arange(3))
    with pytest.raises(TypeError, match="a result of type set cannot be kept"):
        store.remember("n", lambda: {1, 2})
    with pytest.raises(TypeError, match="a result of type Thing cannot be kept"):
        store.remember("n", Thing)


class Thing:
    pass


def total(x):
    return sum(map(str, x), "") if isinstance(x, (dict, list)) else int(x.sum())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pl.Series("v", [1, 2]), pl.Series("v", [10, 20])),
        ([Path("x/a.txt")], [Path("y/a.txt")]),
        ({1: 2}, {"1": 2}),
    ],
)
def test_another_content_is_another_call(tmp_path, one, other):
    assert call_key(total, [one], {}) != call_key(total, [other], {})
    assert call_key(total, [one], {}) == call_key(total, [one], {})


def test_frames_inside_lists_count_with_their_rows():
    frame = pl.DataFrame({"a": [1, 2], "fingerprint": [1, 1]})
    assert call_key(total, [[frame]], {}) != call_key(total, [[frame.with_columns(a=pl.Series([2, 1]))]], {})


def test_a_function_with_hidden_values_is_refused(tmp_path):
    n = 2
    for func in (lambda x: x + n, partial(total), str.upper):
        with pytest.raises(TypeError, match="only the results of plain functions can be kept"):
            fs.Store(tmp_path).remember("a", func, "x")
