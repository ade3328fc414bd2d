import polars as pl
import pytest

import facestats as fs
from facestats.core.tables import Table, TableError, check_columns

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


def test_a_closed_table_may_have_fingerprints():
    marked = frame(fingerprint=pl.Series([1, 2], dtype=pl.UInt64))
    assert fs.tables.check_table(marked, SMALL) is marked


def test_missing_columns_are_named_with_the_call_that_makes_them():
    with pytest.raises(
        fs.tables.TableError,
        match=r"^the frame has no column 'x', 'y'; it has 'image_id', 'n', 'v'\. The missing columns are made by f\.$",
    ):
        check_columns(frame(), "n", "x", "y", made_by="f")


def test_a_misspelt_column_is_answered_with_the_nearest_one():
    with pytest.raises(
        TableError,
        match=r"no column 'Image_ID', 'valeu' \(did you mean 'image_id', 'value'\?\); it has 'image_id', 'n', 'v', 'value'\.",
    ):
        check_columns(frame(value=1), "n", "Image_ID", "valeu", made_by="f")
    with pytest.raises(
        TableError, match=r"no column 'vv'; it has 'image_id', 'n', 'v'\. The missing column is"
    ):
        check_columns(frame(), "v", "vv", made_by="f")  # `v` is wanted as well, so that it cannot be meant
    with pytest.raises(TableError, match=r"no column 'v'; it has no columns\."):
        check_columns(pl.DataFrame(), "v", made_by="f")


def test_of_a_wide_table_twelve_columns_are_named():
    wide = pl.DataFrame({f"column_{chr(97 + i)}": [0] for i in range(20)})
    with pytest.raises(TableError) as caught:
        check_columns(wide, "column_tt", made_by="f")
    assert "(did you mean 'column_t'?); it has 'column_a', " in str(caught.value)
    assert "'column_l' and 8 more. The" in str(caught.value)
