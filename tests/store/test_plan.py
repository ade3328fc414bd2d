"""The plan of a build: which rows, in which chunks, and how often the input is read."""

from functools import partial

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import facestats as fs
from facestats.core.tables import FINGERPRINT, KEY, take_rows
from facestats.store import plan
from facestats.testing import draw_faces
from tests.store.test_status import embed
from tests.store.test_store import CALLS, build, computed, ids, label, pictures


@pytest.fixture
def store(tmp_path):
    CALLS.clear()
    return fs.Store(tmp_path)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("chunk_size", [3, None])
def test_an_empty_input_is_an_error_and_the_table_stays(store, lazy, chunk_size):
    nothing = pictures([]).with_columns(path="image_id")
    nothing = nothing.lazy() if lazy else nothing
    message = "no rows to make table 'attributes' from: the input is empty. Look at the filter"
    with pytest.raises(fs.tables.TableError, match=message):
        build(store, nothing, chunk_size=chunk_size)
    before = build(store, pictures(ids(4)), chunk_size=chunk_size)
    CALLS.clear()
    with pytest.raises(fs.tables.TableError, match=message):
        build(store, nothing, chunk_size=chunk_size)
    with pytest.raises(fs.tables.TableError, match=message):
        build(store, store.scan("attributes").filter(image_id="none"), chunk_size=chunk_size)
    assert computed() == []
    assert store.read("attributes", fingerprint=True).equals(before)


@settings(deadline=None)
@given(
    wanted=st.sets(st.integers(0, 40), min_size=1),
    size=st.one_of(st.none(), st.integers(1, 12)),
    at_once=st.integers(1, 12),
)
def test_chunks_of_a_lazy_frame_are_those_of_a_frame(wanted, size, at_once):
    rows = pl.DataFrame({"n": range(41), KEY: [f"{i:03d}" for i in range(41)]}).sample(
        fraction=1, shuffle=True, seed=1
    )
    names = [f"{i:03d}" for i in sorted(wanted)]
    todo = pl.DataFrame({KEY: names, FINGERPRINT: sorted(wanted)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "READ_AT_ONCE", at_once)
        lazy = list(plan.take_chunks(rows.lazy(), todo, key=KEY, size=size))
    eager = list(plan.take_chunks(rows, todo, key=KEY, size=size))
    assert all(
        a.equals(b) for one, other in zip(lazy, eager, strict=True) for a, b in zip(one, other, strict=True)
    )
    assert all(marks[KEY].equals(chunk[KEY]) for marks, chunk in eager)
    assert [marks.height for marks, _ in eager[:-1]] == [size or len(names)] * (len(eager) - 1)
    assert pl.concat([chunk for _, chunk in eager])["n"].to_list() == sorted(wanted)


def test_many_small_chunks_of_a_lazy_frame_are_read_together(store):
    reads = []

    def watched(df):
        reads.append(df.height)
        return df

    build(store, pictures(ids(60)).lazy().map_batches(watched), chunk_size=2)
    assert len(CALLS) == 30
    assert len(reads) == 3  # once for the plan, once to count them, once for all chunks


def test_lazy_rows_are_those_of_a_frame(store, tmp_path):
    draw_faces(tmp_path / "raw", n_faces=7)
    images = fs.list_images(tmp_path / "raw")
    before = build(store, images)
    CALLS.clear()
    assert build(store, images.lazy()).collect().equals(before)
    assert computed() == []
    lazy = fs.Store(tmp_path / "lazy")
    build(lazy, images.lazy())
    assert lazy.provenance("attributes") == store.provenance("attributes")


def test_lazy_tables_may_be_joined(store):
    faces = build(store, pictures(ids(9)))
    store.build("text_labels", pictures(ids(9)), label, chunk_size=4, progress=False)
    other = store.scan("text_labels").select(KEY, said="label")
    rows = store.scan("attributes").join(other, on=KEY, how="left", validate="1:1")
    CALLS.clear()
    store.build("classifications", rows, label, chunk_size=2, progress=False)
    assert computed() == ids(9)
    eager = faces.join(other.collect(), on=KEY, how="left", validate="1:1")
    store.build("classifications", eager, label, chunk_size=2, progress=False)
    assert computed() == []


def test_rows_that_were_read_without_fingerprints_are_recognised(store):
    store.build("embeddings", pictures(ids(9)), embed, progress=False)
    again = partial(store.build, "attributes", func=label, progress=False)
    again(store.scan("embeddings"))
    CALLS.clear()
    rows = store.read("embeddings")
    assert FINGERPRINT not in rows.columns
    again(rows)
    again(rows.reverse())
    assert computed() == []
    again(rows.with_columns(error=pl.when(pl.col(KEY) == "00003.png").then(pl.lit("y")).otherwise("error")))
    assert computed() == ["00003.png"], "another value is another row, and the others stay"
    CALLS.clear()
    more = pl.concat([rows, rows.head(1).with_columns(pl.lit("new.png").alias(KEY))])
    again(more.with_columns(error=pl.when(pl.col(KEY) == "00003.png").then(pl.lit("y")).otherwise("error")))
    assert computed() == ["new.png"]


def test_rows_in_memory_can_be_used_although_their_stored_table_is_damaged(store):
    store.build("embeddings", pictures(ids(5)), embed, progress=False)
    rows = store.read("embeddings")
    (store.tables_dir / "embeddings.parquet").write_bytes(b"no table")
    assert store.build("attributes", rows, label, progress=False).height == 5


@given(keys=st.sets(st.integers(0, 20)))
def test_rows_are_taken_by_their_keys(keys):
    rows = pl.DataFrame({KEY: [f"{i:02d}" for i in range(0, 20, 2)], "n": range(0, 20, 2)})
    names = pl.Series(KEY, [f"{i:02d}" for i in keys], dtype=pl.String)
    for frame in (rows, rows.lazy()):
        assert take_rows(frame, names)["n"].to_list() == sorted(i for i in keys if i < 20 and i % 2 == 0)
