"""Hashes of rows and descriptions of stages: the same on every machine, and changed by whatever changes a result."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.store.fingerprint import describe_stage, mix_hashes, row_hashes


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
