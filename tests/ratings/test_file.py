from __future__ import annotations

import polars as pl
import pytest

import facestats as fs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"att_score": 1.0}, r"columns \['att_score'\].*never trained"),
        ({"rating_sd": 1.0}, "never trained on a model's output"),
        ({"rater_id": "CLIP ViT-B/32"}, "rater 'CLIP ViT-B/32' is named like a model"),
        ({"rater_id": "gpt-4o"}, "named like a model"),
        ({"rater_id": "some-lab/beauty"}, "named like a model"),
        ({"rater_id": None}, "no usable rater_id"),
        ({"rating": "nice"}, "no usable rating"),
    ],
)
def test_what_a_model_said_is_refused(ratings, change, message):
    with pytest.raises(fs.tables.TableError, match=message):
        fs.ratings.read(ratings.with_columns(**{k: pl.lit(v) for k, v in change.items()}))


def test_people_with_names_like_words_of_models_may_rate(ratings):
    names = (
        "Clippy Aiken",
        "R0001",
        "Vita",
        "Claude",
        "Ai",
        "ai",
        "Bert 2",
        "Bart",
        "Vit",
        "Net",
        "Ridge",
        "Gemini",
    )
    for name in names:
        renamed = ratings.with_columns(
            rater_id=pl.when(pl.col("rater_id") == "rater_00").then(pl.lit(name)).otherwise("rater_id")
        )
        assert name in fs.ratings.read(renamed)["rater_id"].to_list()


def test_tables_of_this_package_are_no_ratings(fit, embeddings, tmp_path):
    store = fs.Store(tmp_path)
    path = store.write("ratings", fs.ratings.rate_faces(embeddings, fit.model))
    with pytest.raises(fs.tables.TableError, match="a table made by this package"):
        fs.ratings.read(path)


def test_repeats_and_missing_columns_are_named(ratings):
    with pytest.raises(fs.tables.TableError, match=r"rates '0000.jpg' twice"):
        fs.ratings.read(pl.concat([ratings, ratings.head(1)]))
    with pytest.raises(fs.tables.TableError, match=r"no column \['rater_id'\]"):
        fs.ratings.read(ratings.drop("rater_id"))


def test_ratings_without_a_picture_do_not_count_and_empty_ones_are_none(tmp_path):
    (tmp_path / "a.png").touch()
    frame = pl.DataFrame(
        {"image_id": ["a.png", "a.png", "b.png"], "rater_id": ["r1", "r2", "r1"], "rating": ["1", "NA", "2"]}
    )
    assert fs.ratings.read(frame, pictures=tmp_path).rows() == [("a.png", "r1", "attractiveness", 1.0)]
    with pytest.raises(fs.tables.TableError, match="1 rows have no usable rating"):
        fs.ratings.read(frame.with_columns(rating=pl.Series(["1", "much", "2"])), pictures=tmp_path)


def test_codes_for_no_rating_are_named(caplog):
    ids = [f"{i}.png" for i in range(50)]
    frame = pl.DataFrame({"image_id": ids, "rater_id": "r", "rating": [i % 7 + 1 for i in range(50)]})
    fs.ratings.read(frame)
    assert caplog.text == ""
    fs.ratings.read(frame.with_columns(rating=pl.Series([999, -9, *frame["rating"][2:]])))
    assert "2 ratings of attractiveness lie far from the others, such as 999" in caplog.text


def test_ratings_beyond_the_scale_are_refused_all_at_once():
    ids = [f"{i}.png" for i in range(9)]
    frame = pl.DataFrame({"image_id": ids, "rater_id": "r", "rating": [77, 0, *range(1, 8)]})
    found = r"2 ratings outside of ratings.scale, which is 1 to 7: 2 of attractiveness, such as 77 by 'r' of '0.png'"
    with pytest.raises(fs.tables.TableError, match=found):
        fs.ratings.read(frame, scale=(1, 7))
    assert fs.ratings.read(frame, scale=(0, 77)).height == 9


def test_a_misspelt_trait_and_a_rater_who_always_says_the_same_are_named(caplog):
    rows = [
        (f"{i}.png", f"r{j}", "trustworthyness" if i == j == 0 else "trustworthiness", 4 if j == 2 else i % 7)
        for i in range(12)
        for j in range(3)
    ]
    frame = pl.DataFrame(rows, schema=["image_id", "rater_id", "trait", "rating"], orient="row")
    fs.ratings.read(frame)
    assert "'trustworthyness' has 1 rating, 'trustworthiness' has 35; correct the spelling" in caplog.text
    assert "rater 'r2' gave all 12 faces the same rating of trustworthiness, 4" in caplog.text
    assert "rater 'r1'" not in caplog.text
