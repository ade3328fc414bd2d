"""Tables for the eye: nothing is cut off, HTML is escaped, and numbers are short."""

import datetime as dt
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facestats as fs
from facestats.core.display import count_of, format_number, format_value

LONG = "A sentence that goes on and on. " * 20


def cells(page):
    return re.findall(r"<td[^>]*>(.*?)</td>", page, re.DOTALL)


def test_long_texts_and_lists_are_not_cut_off():
    table = pl.DataFrame({"text": [LONG], "members": [[f"face_{i:03d}.png" for i in range(60)]]})
    shown = fs.show(table)
    for page in (repr(shown), shown._repr_html_()):
        assert LONG.strip() in page
        assert "face_000.png, face_001.png" in page
        assert "face_059.png" in page
        assert "…" not in page
        assert "..." not in page


def test_html_in_a_table_is_text():
    evil = "<script>alert(1)</script> & <b>"
    page = fs.show(pl.DataFrame({evil: [evil]}), title=evil)._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &lt;b&gt;") == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.5, "0.5"),
        (0.61249, "0.612"),
        (-0.61249, "-0.612"),
        (1.0, "1"),
        (3.14159, "3.14"),
        (12.345, "12.3"),
        (100.0, "100"),
        (999.4, "999"),
        (999.6, "1,000"),
        (1234567.8, "1,234,568"),
        (0.00042, "4.2e-04"),
        (float("nan"), "not a number"),
        (float("-inf"), "-inf"),
    ],
)
def test_numbers_have_three_digits_that_count(value, text):
    assert format_number(value) == text


@given(st.floats(1e-2, 1e12))
def test_a_shown_number_is_near_the_number(value):
    shown = float(format_number(value).replace(",", ""))
    assert abs(shown - value) <= max(5e-3 * value, 5e-4)
    assert format_number(-value) == f"-{format_number(value)}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (1234567, "1,234,567"),
        ("text", "text"),
        ([0.12345, None, "x"], "0.123, , x"),
        (pl.Series([1, 2]), "1, 2"),
        (dt.date(2024, 2, 29), "2024-02-29"),
        (b"\0" * 2000, "2,000 bytes"),
    ],
)
def test_values_of_every_kind(value, text):
    assert format_value(value) == text


def test_as_text_numbers_stand_to_the_right_and_the_rest_to_the_left():
    table = pl.DataFrame({"label": ["a", "bcd"], "n": [7, 12_000]})
    assert repr(fs.show(table)) == "label       n\na           7\nbcd    12,000"


def test_a_line_below_says_how_many_rows_there_are():
    table = pl.DataFrame({"n": range(1500)})
    assert repr(fs.show(table)).splitlines()[-1] == "20 of 1,500 rows"
    page = fs.show(table, n_rows=3)._repr_html_()
    assert cells(page) == ["0", "1", "2"]
    assert page.endswith("<p>3 of 1,500 rows</p>")
    assert repr(fs.show(table, n_rows=1500)).splitlines()[-1] == "1,499"
    assert repr(fs.show(table.clear(), title="Nothing")) == "Nothing\nn\nno rows"


def test_more_than_twelve_columns_are_refused():
    table = pl.DataFrame({f"c{i}": [i] for i in range(13)})
    assert len(cells(fs.show(table.drop("c12"))._repr_html_())) == 12
    for wide in (table, table.lazy()):
        with pytest.raises(
            ValueError, match=r"13 columns .*at most 12 .*table\.select\('c0', \.\.\.\).*'c11' and 1 more\.$"
        ):
            fs.show(wide)


def test_a_lazy_table_and_a_series_are_shown_as_tables():
    table = pl.DataFrame({"label": ["a", "b"]})
    assert repr(fs.show(table.lazy(), n_rows=1)) == "label\na\n1 of 2 rows"
    assert repr(fs.show(table["label"], title="Labels")) == "Labels\nlabel\na\nb"


def test_one_thing_is_counted_in_the_singular():
    assert [count_of(n, "face") for n in (0, 1, 2)] == ["0 faces", "1 face", "2 faces"]
    assert count_of(1, "row fulfils", "rows fulfil") == "1 row fulfils"
    assert count_of(7, "row fulfils", "rows fulfil") == "7 rows fulfil"
