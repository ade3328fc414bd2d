"""Ratings in the shapes in which people keep them, and the names of their traits."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facestats as fs
from facestats.ratings.layout import MAX_NAME, name_of

LONG = {
    "image_id": ["a.jpg", "a.jpg", "b.jpg", "b.jpg"],
    "rater_id": ["anna", "ben", "anna", "ben"],
    "rating": ["3", "4", "5", "6"],
}


def read(columns, **options):
    return fs.ratings.read(pl.DataFrame(columns), **options)


def refused(columns, match, **options):
    with pytest.raises(fs.tables.TableError, match=match):
        read(columns, **options)


def test_one_column_per_trait_gives_the_same_as_one_row_per_rating():
    wide = {
        "File_name": ["a.jpg", "a.jpg", "b.jpg", "b.jpg"],
        "Participant": ["anna", "ben", "anna", "ben"],
        "rater_age": [30, 41, 30, 41],
        "width": [200, 200, 300, 300],
        "remark": ["", "nice", "", ""],
        "calm": ["3", "4", "5", "NA"],
        "Perceived age": ["20,5", "30", "40", "41"],
    }
    found = read(pl.DataFrame(wide).rename({"File_name": "file_name"}))
    rows = [(i, r, "calm", float(v)) for i, r, v in zip(*LONG.values(), strict=True)][:3]
    rows += [
        (i, r, "Perceived_age", v)
        for i, r, v in zip(LONG["image_id"], LONG["rater_id"], [20.5, 30.0, 40.0, 41.0], strict=True)
    ]
    assert sorted(found.select("image_id", "rater_id", "trait", "rating").rows()) == sorted(rows)
    assert {"rater_age", "width", "remark"} < set(found.columns)


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        (
            {"image_id": ["a", "b"], "rating": [3.5, 4]},
            "one rating per picture and no column .*these are means",
        ),
        ({"image_id": ["a", "b"], "calm": [3.5, 4]}, r"\['calm'\] may be means of traits, or raters"),
        (
            {"image_id": ["a", "b"], "r1": [3, 4], "r2": [5, 6]},
            r"\['r1', 'r2'\] may be means of traits, or raters",
        ),
        ({"image_id": ["a", "a"], "rating": [3, 4]}, "'rater_id'.*which says who gave each rating"),
        ({"image_id": ["a", "a"], "trait": ["x", "y"], "rating": [3, 4]}, "these are means"),
        ({"image_id": ["a"], "name": ["x"]}, r"no column \['rater_id', 'rating'\]"),
        ({"picture": ["a"], "rater_id": ["x"], "rating": [1]}, r"no column \['image_id'\]"),
        ({"image_id": ["a"], "rater_id": ["x"]}, "neither a column 'rating' nor columns of numbers"),
    ],
)
def test_ratings_that_cannot_be_used_are_refused_with_the_shape_to_give(columns, match):
    refused(columns, match)
    refused(columns, "Give one row per picture and rater, with the columns image_id, rater_id and rating")


def test_cells_and_rows_of_a_wide_table_that_are_wrong_are_named():
    wide = {**LONG, "calm": ["3", "4", "5", "six"]}
    del wide["rating"]
    refused(wide, "column 'calm' holds numbers and 'six', in 1 rows")
    refused({"image_id": ["a", "a"], "rater_id": ["x", "x"], "calm": [1, 2]}, "'x' rates 'a' in two rows")


def test_the_traits_that_the_configuration_names_are_kept_as_people_write_them():
    two = pl.concat(
        [pl.DataFrame(LONG).with_columns(trait=pl.lit(t)) for t in ("Perceived age", "schön/hübsch")]
    )
    assert read(two, traits=["Perceived age"])["trait"].unique().to_list() == ["Perceived_age"]
    assert set(read(two)["trait"]) == {"Perceived_age", "schön_hübsch"}
    refused(
        two,
        r"no ratings of the trait 'Percieved age'.*Did you mean 'Perceived age'\?",
        traits=["Percieved age"],
    )
    assert fs.ratings.average(read(two), trait="Perceived age").height == 2


@pytest.mark.parametrize(
    ("traits", "match"),
    [
        (["a b", "a/b"], "traits 'a b' and 'a/b' would both have the column 'a_b'"),
        (["Calm", "calm"], "traits 'Calm' and 'calm' would both"),
        (["calm", "calm_sd"], "'calm' and 'calm_sd' would both have the column 'calm_sd'"),
        (["age"], "'age' has the name of another column .* 'rated_age'"),
        (["score"], "'score' has the name of another column"),
        (["!?"], "'!\\?' cannot name a column"),
        (["x" * (MAX_NAME + 1)], "cannot name a column: it needs 1 to 100"),
    ],
)
def test_names_that_would_collide_are_refused(traits, match):
    frame = pl.concat([pl.DataFrame(LONG).with_columns(trait=pl.lit(t)) for t in traits])
    refused(frame, match, taken=["age", "gender"])


@given(st.text())
def test_a_name_is_safe_for_folders_and_does_not_change_again(text):
    name = name_of(text)
    assert not set(name) & set('/\\:. \n\t"*?<>|')
    assert name_of(name) == name


def test_one_picture_rated_twice_alike_does_not_make_a_trait_a_description(caplog):
    rows = [(f"{i}.png", f"r{i % 3}", 1 + i % 5, 1 + (i * 2) % 7, 20 + i % 3) for i in range(30)]
    frame = pl.DataFrame(
        [*rows, ("0.png", "r1", 1, 4, 21)],
        schema=["image_id", "rater_id", "trust", "kind", "age"],
        orient="row",
    )
    assert fs.ratings.read(frame)["trait"].unique().sort().to_list() == ["kind", "trust"]
    assert "one value per rater or per picture: age" in caplog.text


def test_dates_and_truth_values_are_no_traits():
    frame = pl.DataFrame(
        {"image_id": ["a", "b"], "rater_id": ["r", "s"], "kind": [1, 2], "seen": [True, False]}
    )
    frame = frame.with_columns(when=pl.date(2024, 1, 1), long=pl.duration(days=1))
    assert fs.ratings.read(frame)["trait"].unique().to_list() == ["kind"]


@pytest.mark.parametrize("columns", [["Rating", "rating"], ["Rater ID", "rating"], ["trait", "score1"]])
def test_columns_that_mean_the_same_are_refused(columns):
    frame = pl.DataFrame({"image_id": ["a"], "rater_id": ["r"], **{c: [1] for c in columns}})
    with pytest.raises(
        fs.tables.TableError, match="which mean the same|has a column 'trait' and no column 'rating'"
    ):
        fs.ratings.read(frame)
