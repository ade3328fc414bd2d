from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facestats as fs
from facestats.core.tables import TableError


@pytest.mark.parametrize(
    ("conditions", "n"),
    [
        ({}, 20),
        ({"gender": "male"}, 10),
        ({"gender": ["male", "female"]}, 20),
        ({"age": (22, 24)}, 3),
        ({"age": (None, 24), "gender": "male"}, 2),
        ({"age": 30}, 1),
    ],
)
def test_select_faces(faces: pl.DataFrame, conditions: dict, n: int):
    assert fs.composites.select(faces, **conditions).height == n


def test_select_faces_names_values_and_columns_that_do_not_exist(faces: pl.DataFrame):
    with pytest.raises(
        ValueError, match=r"no row has gender = \['femal'\]; present are \['female', 'male'\]"
    ):
        fs.composites.select(faces, gender="femal")
    with pytest.raises(TableError, match="hair"):
        fs.composites.select(faces, hair="red")


def test_groups_are_named_by_size_and_small_ones_said(
    faces: pl.DataFrame, capsys: pytest.CaptureFixture[str]
):
    rows = faces.head(17)
    assert fs.composites.groups(rows, "gender") == {
        "gender female": {"gender": "female"},
        "gender male": {"gender": "male"},
    }
    assert capsys.readouterr().out == ""
    assert fs.composites.groups(rows, "gender", min_faces=9) == {"gender female": {"gender": "female"}}
    said = capsys.readouterr().out
    assert "1 of 2 groups of gender has fewer than 9 faces and is left out (male: 8)" in said
    gaps = rows.with_columns(gender=pl.lit(None, dtype=pl.String))
    assert fs.composites.groups(gaps, "gender", min_faces=9) == {}
    assert "there are no groups of gender, since no row has a value" in capsys.readouterr().out
    with pytest.raises(TableError, match="mood"):
        fs.composites.groups(rows, "mood")
    with pytest.raises(TableError, match=r"no column 'gendr' \(did you mean 'gender'\?\)"):
        fs.composites.select(rows, gendr="female")
    with pytest.raises(ValueError, match="^1 row fulfils all conditions, but 2 are needed"):
        fs.composites.select(rows.head(1), min_faces=2)


@given(st.lists(st.sampled_from(["a", "b", "c", None]), max_size=30), st.integers(1, 6))
def test_every_group_listed_can_be_selected(values: list, least: int):
    table = pl.DataFrame(
        {"image_id": [str(i) for i in range(len(values))], "g": pl.Series(values, dtype=pl.String)}
    )
    sizes = [
        fs.composites.select(table, min_faces=least, **rule).height
        for rule in fs.composites.groups(table, "g", min_faces=least).values()
    ]
    assert sizes == sorted((n for v in "abc" if (n := values.count(v)) >= least), reverse=True)


def test_groups_of_several_columns_agree_in_all_of_them():
    table = pl.DataFrame(
        {"image_id": list("abcd"), "gender": ["m", "f", "f", None], "age": ["old", "old", "old", "old"]}
    )
    assert fs.composites.groups(table, ["gender", "age"]) == {
        "gender f, age old": {"gender": "f", "age": "old"},
        "gender m, age old": {"gender": "m", "age": "old"},
    }
    assert list(fs.composites.groups(table, ["gender", "age"], min_faces=2)) == ["gender f, age old"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("gender", (("gender",),)),
        (["gender", "true_age"], (("gender",), ("true_age",))),
        (["gender", ["gender", "age"]], (("gender",), ("gender", "age"))),
    ],
)
def test_the_configuration_names_columns_and_combinations(written, read):
    from facestats.core.config import CompositesSettings

    assert CompositesSettings(by=written).by == read


def test_no_value_at_all_is_said(capsys):
    table = pl.DataFrame(
        {"image_id": ["a"], "gender": [None]}, schema={"image_id": pl.String, "gender": pl.String}
    )
    assert fs.composites.groups(table, "gender") == {}
    assert "there are no groups of gender, since no row has a value." in capsys.readouterr().out
