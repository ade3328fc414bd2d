"""Names in side files are matched to pictures; nothing matches silently, and nothing is matched by a guess."""

import posixpath
import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import facestats as fs
from facestats.core.tables import TableError
from facestats.inputs import CaptionError
from facestats.inputs.matching import letters, match_names


@pytest.mark.parametrize(
    ("name", "picture", "rule"),
    [
        ("agata", "agata.jpg", "the suffix"),
        ("agata.png", "agata.jpg", "another suffix"),
        ("Agata.JPG", "agata.jpg", "capital letters"),
        ("anna%20b.jpg", "anna b.jpg", "the form of letters, blanks or slashes"),
        (
            unicodedata.normalize("NFD", "J\xfcrgen.jpg"),
            "J\xfcrgen.jpg",
            "the form of letters, blanks or slashes",
        ),
        ("a\\b.jpg", "a/b.jpg", "the form of letters, blanks or slashes"),
        ("./a/b.jpg", "a/b.jpg", "the form of letters, blanks or slashes"),
        (" b.jpg ", "b.jpg", "the form of letters, blanks or slashes"),
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


def test_a_name_that_two_pictures_have_names_both():
    with pytest.raises(
        CaptionError, match=r"'1' \(it may be 'f/1.jpg' or 'm/1.jpg'; write the folder or the"
    ):
        match_names(["1"], ["f/1.jpg", "m/1.jpg"], file="f.csv")


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


def test_equal_names_in_two_folders_are_told_apart_by_their_paths():
    pictures = ["f/1.jpg", "m/1.jpg"]
    for names in (
        ["data/raw/f/1.jpg", "data/raw/m/1.jpg"],
        ["C:\\d\\f\\1.jpg", "C:\\d\\m\\1.jpg"],
        ["/x/f/1", "/x/m/1"],
    ):
        assert match_names(names, pictures, file="f.csv") == dict(zip(names, pictures, strict=True))


@pytest.mark.parametrize(
    ("names", "pictures"),
    [
        (["raw/f/1.jpg", "raw/m/1.jpg", "z.jpg"], ["f/1.jpg", "z.jpg"]),  # m is another folder than f
        (["f/1.jpg", "raw/f/1.jpg"], ["f/1.jpg"]),  # its own name means the picture already
        (["f/1.jpg", "f/1.png"], ["f/1.jpg"]),
        (["set2/a.jpg", "b.jpg"], ["a.jpg", "set2/b.jpg"]),  # set2 is there, without an a.jpg
        (["raw/f/1.jpg", "old/f/1.jpg", "z.jpg"], ["f/1.jpg", "z.jpg"]),  # either may be meant
    ],
)
def test_a_name_is_not_given_the_picture_of_another_name_or_folder(caplog, names, pictures):
    found = match_names(names, pictures, file="f.csv")
    assert "m/1.jpg" not in " ".join(found)
    assert len(set(found.values())) == len(found) < len(names)
    assert "names match no picture" in caplog.text


def test_names_are_relative_to_their_file_or_to_the_folder_of_pictures():
    pictures = ["images/1.jpg", "lists/2.jpg"]
    names = ["../images/1.jpg", "2.jpg"]
    assert match_names(names, pictures, file="f", place="lists") == dict(zip(names, pictures, strict=True))
    assert match_names(["1.jpg"], pictures[:1], file="f", place="lists") == {"1.jpg": "images/1.jpg"}


@given(st.lists(st.text("ab/", min_size=1, max_size=6), min_size=1, unique=True), NAMES)
def test_a_lost_folder_never_gives_two_names_one_picture(names, pictures):
    wanted = sorted({posixpath.normpath(f"raw/{name}") for name in names} - set(pictures))
    try:
        found = match_names(wanted, pictures, file="f")
    except CaptionError:
        return
    by_folder = [picture for name, picture in found.items() if letters(name) != letters(picture)]
    by_suffix = [p for n, p in found.items() if letters(p).startswith(f"{letters(n)}.")]
    assert len(set(by_folder)) == len(by_folder) or by_suffix


def test_files_about_the_same_pictures_are_joined(raw):
    attributes = {"age": fs.testing.example_project().attributes["age"]}
    option = next(iter(attributes["age"].options))
    (raw / "metadata.csv").write_text(f"file_name,true_age,Person\nagata.jpg,{option},p1\nben.jpg,,p2\n")
    (raw / "captions.csv").write_text("file_name,caption\nagata,hello\nben,hi\n")
    assert fs.list_captions(raw)["text"].to_list() == ["hello", "hi"]
    assert fs.human_labels.read_truth(raw, attributes).rows() == [("agata.jpg", option)]
    assert fs.inputs.read_people(raw, "person").rows() == [("agata.jpg", "p1"), ("ben.jpg", "p2")]
    (raw / "metadata.jsonl").write_text('{"file_name": "agata.jpg", "Person": "p9"}')
    with pytest.raises(TableError, match=r"several rows of 'agata.jpg', with .*'p1' and 'p9'"):
        fs.inputs.read_people(raw, "Person")


def test_a_column_of_persons_without_a_person_is_an_error(raw):
    (raw / "metadata.csv").write_text("file_name,person\nagata.jpg,\nben.jpg, \n")
    with pytest.raises(TableError, match="names no person"):
        fs.inputs.read_people(raw, "person")


def test_a_file_in_a_folder_of_pictures_names_those(tmp_path):
    for name in ("train/0.png", "test/0.png", "test/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "train/metadata.csv").write_text("file_name,text\n0.png,a\n1.png,b\n")
    assert dict(fs.list_captions(tmp_path).select("image_id", "text").drop_nulls().rows()) == {
        "train/0.png": "a"
    }


def test_columns_of_several_files_are_one_in_any_capitals_and_file_name_names_the_pictures(tmp_path):
    for folder, header in (("a", "image,file_name,true_age"), ("b", "file_name,True_Age,image")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
        row = "3,1.png,child" if folder == "a" else "1.png,child,3"
        (tmp_path / folder / "metadata.csv").write_text(f"{header}\n{row}\n")
    truth = fs.human_labels.read_truth(tmp_path, fs.testing.example_project().attributes)
    assert truth.rows() == [("a/1.png", "child"), ("b/1.png", "child")]
