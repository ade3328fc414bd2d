from __future__ import annotations

import csv
import zipfile

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.surfaces.spreadsheets import MAX_TEXT, write_csv, write_excel

BAD = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"]  # noqa: RUF001
FINE = ["plain", "a=b", "'=1", "", None]


def read(file):
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.reader(opened))


def test_no_text_of_a_csv_begins_like_a_formula_and_numbers_stay(tmp_path):
    df = pl.DataFrame({"=name": [*BAD, *FINE], "n": [-1.5] * 13})
    write_csv(df, tmp_path / "t.csv")
    header, *rows = read(tmp_path / "t.csv")
    assert header == ["'=name", "n"]
    assert rows == [[text, "-1.5"] for text in [*(f"'{bad}" for bad in BAD), "plain", "a=b", "''=1", "", ""]]


@given(texts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1, max_size=9))
def test_every_text_comes_back(tmp_path_factory, texts):
    file = tmp_path_factory.mktemp("csv") / "t.csv"
    write_csv(pl.DataFrame({"text": texts}), file)
    assert read(file) == [["text"], *([f"'{text}" if text[:1] in [*"=+-@\t\r"] else text] for text in texts)]


def test_excel_holds_texts_and_neither_formulas_nor_links(tmp_path):
    df = pl.DataFrame({"=name": [*BAD, "{=1+1}", "http://a.org", "internal:Sheet1!A1"]})
    write_excel(df, tmp_path / "t.xlsx")
    with zipfile.ZipFile(tmp_path / "t.xlsx") as opened:
        sheet = opened.read("xl/worksheets/sheet1.xml").decode()
        strings = opened.read("xl/sharedStrings.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet
    assert "http://a.org" in strings
    assert "=1+1" in strings
    write_excel(df.clear(), tmp_path / "empty.xlsx")


def test_what_excel_cannot_hold_is_an_error_and_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"a text of 32,768 characters, .* write .csv or .parquet"):
        write_excel(pl.DataFrame({"a": ["x" * (MAX_TEXT + 1)]}), tmp_path / "t.xlsx")
    assert not list(tmp_path.iterdir())


def test_names_that_differ_only_in_case_stay_apart_in_excel(tmp_path):
    write_excel(pl.DataFrame({"Age": [1], "age": [2], "x" * 300: [3]}), tmp_path / "t.xlsx")
    with zipfile.ZipFile(tmp_path / "t.xlsx") as opened:
        table = opened.read("xl/tables/table1.xml").decode()
    assert 'name="Age"' in table
    assert 'name="age_2"' in table
    assert f'name="{"x" * 255}"' in table


def test_decimal_commas_come_with_semicolons(tmp_path):
    write_csv(pl.DataFrame({"ä": [1.5], "t": ["a;b"]}), tmp_path / "t.csv", decimal=",", bom=True)
    assert (tmp_path / "t.csv").read_bytes() == '\ufeff"ä";"t"\n1,5;"a;b"\n'.encode()
