"""Names in side files are matched to pictures; nothing matches silently, and nothing is matched by a guess."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facestats as fs
from facestats.core.tables import TableError
from facestats.inputs import CaptionError
from facestats.inputs.matching import match_names


@pytest.mark.parametrize(
    ("name", "picture", "rule"),
    [
        ("agata", "agata.jpg", "the suffix"),
        ("agata.png", "agata.jpg", "the suffix"),
        ("Agata.JPG", "agata.jpg", "capital letters"),
        ("anna%20b.jpg", "anna b.jpg", "the spelling"),
        (unicodedata.normalize("NFD", "J\xfcrgen.jpg"), "J\xfcrgen.jpg", "the spelling"),
        ("a\\b.jpg", "a/b.jpg", "the spelling"),
        ("./a/b.jpg", "a/b.jpg", "the spelling"),
        (" b.jpg ", "b.jpg", "the spelling"),
        ("/home/me/data/raw/b.jpg", "b.jpg", "the folder"),
        ("b.jpg", "women/b.jpg", "the folder"),
        ("b", "women/b.jpg", "the folder and the suffix"),
    ],
)
def test_what_means_one_picture_is_matched_and_said(caplog, name, picture, rule):
    assert match_names([name, "zoe.png"], [picture, "zoe.png"], file="f.csv") == {
        name: picture, "zoe.png": "zoe.png",
    }  # fmt: skip
    assert f"1 but for {rule}, such as" in caplog.text


def test_what_may_mean_two_pictures_is_not_matched(caplog):
    pictures = ["a/1.jpg", "b/1.jpg", "c.jpg", "c.png"]
    assert match_names(["1.jpg", "c", "c.png"], pictures, file="f.csv") == {"c.png": "c.png"}
    assert "2 of 3 names match no picture" in caplog.text


def test_nothing_matched_is_an_error_with_the_nearest_names():
    with pytest.raises(
        CaptionError, match=r"f.csv: none of its 1 names.*'agatha.jpg' .the nearest is 'agata.jpg'"
    ):
        match_names(["agatha.jpg"], ["agata.jpg", "x.jpg"], file="f.csv")


def test_exact_names_say_nothing(caplog):
    assert match_names(["a.jpg"], ["a.jpg", "A.jpg"], file="f.csv") == {"a.jpg": "a.jpg"}
    assert caplog.text == ""


NAMES = st.lists(st.text("ab/.%2\\\\ J\xfc", min_size=1, max_size=6), min_size=1, max_size=6, unique=True)


@given(NAMES, NAMES)
def test_exact_names_win_and_only_pictures_are_found(names, pictures):
    try:
        found = match_names(names, pictures, file="f")
    except CaptionError:
        assert not set(names) & set(pictures)
        return
    assert set(found) <= set(names)
    assert set(found.values()) <= set(pictures)
    assert all(found[name] == name for name in set(names) & set(pictures))


@pytest.fixture
def raw(tmp_path):
    for name in ("agata.jpg", "ben.jpg"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_persons_whose_names_lack_the_suffix_are_found(raw):
    (raw / "metadata.csv").write_text("file_name,person\nagata,p1\nben,p2\n")
    assert fs.inputs.read_people(raw, "person").rows() == [("agata.jpg", "p1"), ("ben.jpg", "p2")]


def test_truth_ratings_and_labels_are_matched_by_the_same_rules(raw, tmp_path_factory):
    attributes = {"age": fs.testing.example_project().attributes["age"]}
    option = next(iter(attributes["age"].options))
    folder = tmp_path_factory.mktemp("side")
    (folder / "truth.csv").write_text(f"File_Name,Age\nagata,{option.upper()}\nben,\n")
    truth = fs.human_labels.read_truth(folder / "truth.csv", attributes, pictures=raw)
    assert truth.rows() == [("agata.jpg", option)]
    (folder / "ratings.csv").write_text("image_id;rater_id;rating\nagata;r1;3,5\nben;r1;2\n")
    ratings = fs.ratings.read(folder / "ratings.csv", pictures=raw)
    assert ratings.select("image_id", "rating").rows() == [("agata.jpg", 3.5), ("ben.jpg", 2.0)]
    (folder / "labels.csv").write_text(f"image_id,attribute,value\nAgata.JPG,age,{option}\n")
    labels = fs.human_labels.read(folder / "labels.csv", attributes, pictures=raw)
    assert labels["image_id"].to_list() == ["agata.jpg"]


def test_a_side_file_of_other_pictures_is_an_error_in_every_reader(raw, tmp_path_factory):
    attributes = {"age": fs.testing.example_project().attributes["age"]}
    option = next(iter(attributes["age"].options))
    folder = tmp_path_factory.mktemp("side")
    frame = pl.DataFrame({"image_id": ["zzz.jpg"], "attribute": ["age"], "value": [option]})
    frame.write_csv(folder / "labels.csv")
    pl.DataFrame({"image_id": ["zzz.jpg"], "age": [option]}).write_csv(folder / "truth.csv")
    pl.DataFrame({"image_id": ["zzz.jpg"], "rater_id": ["r"], "rating": [1]}).write_csv(
        folder / "ratings.csv"
    )
    with pytest.raises(fs.human_labels.LabelError, match="none of its 1 names"):
        fs.human_labels.read(folder / "labels.csv", attributes, pictures=raw)
    with pytest.raises(TableError, match="none of its 1 names"):
        fs.human_labels.read_truth(folder / "truth.csv", attributes, pictures=raw)
    with pytest.raises(TableError, match="none of its 1 names"):
        fs.ratings.read(folder / "ratings.csv", pictures=raw)
    (raw / "metadata.csv").write_text("file_name,person\nzzz.jpg,p\n")
    with pytest.raises(CaptionError, match="none of its 1 names"):
        fs.inputs.read_people(raw, "person")
