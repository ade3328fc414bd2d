"""What a build has to do: which rows, in which chunks, read how often."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_core_store import CALLS, build, computed, ids, pictures

import facestats as fs
from facestats.core import plan
from facestats.core.tables import FINGERPRINT, KEY


@pytest.fixture
def store(tmp_path):
    CALLS.clear()
    return fs.Store(tmp_path)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("chunk_size", [3, None])
def test_no_rows_are_a_sentence_and_the_table_stays(store, lazy, chunk_size):
    nothing = pictures([]).lazy() if lazy else pictures([])
    message = "no rows to make table 'attributes' from: the input is empty. Look at the filter"
    with pytest.raises(fs.TableError, match=message):
        build(store, nothing, chunk_size=chunk_size)
    before = build(store, pictures(ids(4)), chunk_size=chunk_size)
    CALLS.clear()
    with pytest.raises(fs.TableError, match=message):
        build(store, nothing, chunk_size=chunk_size)
    with pytest.raises(fs.TableError, match=message):
        build(store, store.scan("attributes").filter(image_id="none"), chunk_size=chunk_size)
    assert computed() == []
    assert store.read("attributes").equals(before)


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
    assert len(reads) == 2  # once for the plan, once for all chunks
