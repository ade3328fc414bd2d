import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facestats as fs
from facestats.core.tables import Table
from facestats.store.fingerprint import mix_hashes, row_hashes

SMALL = Table("small", "notebooks/99_small.ipynb", (), {"image_id": pl.String, "n": pl.Int32, "v": pl.Array})


def frame(**columns):
    good = {
        "image_id": ["a", "b"],
        "n": pl.Series([1, 2], dtype=pl.Int32),
        "v": pl.Series([[1.0], [2.0]], dtype=pl.Array(pl.Float32, 1)),
    }
    return pl.DataFrame(good | columns)


def test_a_good_table_comes_back_unchanged():
    assert fs.tables.check_table(frame(), SMALL).equals(frame())


def test_every_problem_is_named_at_once():
    bad = frame(image_id=["a", "a"], n=["x", "y"], more=[0, 0]).drop("v")
    with pytest.raises(fs.tables.TableError) as caught:
        fs.tables.check_table(bad, SMALL)
    for part in (
        "column 'n' is String, expected Int32",
        "column 'v' is missing",
        "unknown columns ['more']",
        "1 repeated image_id values, for example 'a'",
        "made by notebooks/99_small.ipynb",
    ):
        assert part in str(caught.value)


def test_fingerprints_are_welcome_in_a_closed_table():
    fs.tables.check_table(frame(fingerprint=pl.Series([1, 2], dtype=pl.UInt64)), SMALL)


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


@given(st.floats(0, 1))
def test_confident_blanks_what_lies_below_and_keeps_rows(threshold):
    df = pl.DataFrame({"age": ["x", "y", None], "age_score": [0.2, 0.9, None]})
    kept = fs.attributes.mask_low_scores(df, threshold)
    assert kept.height == 3
    assert kept["age"].is_not_null().to_list() == [threshold <= 0.2, threshold <= 0.9, False]


def test_confident_names_what_is_there():
    df = pl.DataFrame({"age": ["x"], "age_score": [0.2]})
    with pytest.raises(
        fs.tables.TableError, match=r"no labels with scores for \['hair'\]; the table has them for \['age'\]"
    ):
        fs.attributes.mask_low_scores(df, 0.5, attributes=["hair"])
    with pytest.raises(ValueError, match="between 0 and 1, got 3"):
        fs.attributes.mask_low_scores(df, 3)
