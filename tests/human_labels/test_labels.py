import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import facestats as fs
from facestats.human_labels.answers_file import LabelError
from facestats.human_labels.labels import answered
from tests.human_labels.gender_and_hair import ATTRIBUTES

answer = st.tuples(
    st.sampled_from(["a.png", 'b "quoted", c.png', "é.png"]),
    st.sampled_from(["red", "black", "blue, or green", None]),
    st.sampled_from(["anna", "ben", "cleo"]),
)


@settings(deadline=None, max_examples=40)
@given(st.lists(answer, max_size=12))
def test_the_latest_of_a_labeller_and_the_majority_between_them_count(tmp_path_factory, answers):
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    standing = {}
    for image_id, value, labeller in answers:
        fs.human_labels.write(file, image_id, attribute="hair", value=value, labeller=labeller)
        standing.setdefault(image_id, {})[labeller] = value
    labels = {row["image_id"]: row for row in fs.human_labels.read(file, ATTRIBUTES).iter_rows(named=True)}
    for image_id, said in standing.items():
        votes = [v for v in said.values() if v is not None]
        counts = sorted((votes.count(v) for v in set(votes)), reverse=True)
        if not votes:
            assert image_id not in labels
            continue
        row = labels[image_id]
        assert row["n_labellers"] == len(votes)
        if len(counts) > 1 and counts[0] == counts[1]:
            assert row["value"] is None
            assert row["agreement"] is None
        else:
            assert row["value"] == max(set(votes), key=votes.count)
            assert row["agreement"] == pytest.approx(counts[0] / len(votes))
    for labeller in ("anna", "ben", "cleo"):
        wanted = {i for i, said in standing.items() if said.get(labeller)}
        assert answered(file, "hair", labeller=labeller) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image_id,attribute,value\na.png,hare,red\n",
            r"line 2: .*no attribute 'hare'; valid are gender, hair",
        ),
        (
            "image_id,attribute,value\na.png,hair,red\nb.png,hair,rde\n",
            r"line 3: 'rde' .*'hair'; valid are red, black",
        ),
        (
            "image_id,attribute,value,labeller,time\na.png,hair,red,x,yesterday\n",
            "line 2: 'yesterday' is not a time",
        ),
        (
            "image_id,attribute,value,reason\na.png,hair,red,fun\n",
            "line 2: reason 'fun' is none of low_margin",
        ),
        ("image_id,attribute,value\na.png,hair\n", "line 2: 2 fields for the 3 columns"),
        ("image_id,attribute,value\n,hair,red\n", "line 2: no image_id"),
        (
            "name,hair\na.png,red\n",
            r"columns \['name', 'hair'\]; it lacks \['image_id', 'attribute', 'value'\]",
        ),
    ],
)
def test_what_is_wrong_is_named_with_line_value_and_valid_ones(tmp_path, text, message):
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(LabelError, match=message):
        fs.human_labels.read(file, ATTRIBUTES)
    assert file.read_text() == text


def test_no_file_is_no_labels_and_a_wrong_file_is_left_alone(tmp_path):
    assert fs.human_labels.read(tmp_path / "none.csv", ATTRIBUTES).is_empty()
    notes = tmp_path / "notes.txt"
    notes.write_text("remember the milk\nand the bread")
    with pytest.raises(LabelError, match="lacks"):
        fs.human_labels.read(notes, ATTRIBUTES)
    with pytest.raises(LabelError, match="labels cannot be added"):
        fs.human_labels.write(notes, "a.png", attribute="hair", value="red", labeller="anna")
    assert notes.read_text() == "remember the milk\nand the bread"


def test_the_truth_of_metadata_is_one_more_labeller(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/metadata.csv").write_text(
        "file_name,text,true_hair,true_gender\na.png,x,red,\nb.png,y,black,male\n"
    )
    file = tmp_path / "labels.csv"
    fs.human_labels.write(file, "sub/a.png", attribute="hair", value="black", labeller="anna")
    labels = fs.human_labels.read(file, ATTRIBUTES, truth=fs.human_labels.read_truth(tmp_path, ATTRIBUTES))
    assert labels.select("image_id", "attribute", "value", "n_labellers").rows() == [
        ("sub/a.png", "hair", None, 2),
        ("sub/b.png", "gender", "male", 1),
        ("sub/b.png", "hair", "black", 1),
    ]
    (tmp_path / "sub/metadata.csv").write_text("file_name,text\na.png,x\n")
    nothing = fs.human_labels.read_truth(tmp_path, ATTRIBUTES)
    assert fs.human_labels.read(file, ATTRIBUTES, truth=nothing).equals(
        fs.human_labels.read(file, ATTRIBUTES)
    )


def test_labels_say_who_is_in_the_picture_where_that_is_known(tmp_path):
    (tmp_path / "metadata.csv").write_text("file_name,who\na.png,anna\nb.png,\n")
    file = tmp_path / "labels.csv"
    for name, value in (("a.png", "red"), ("b.png", "black"), ("c.png", "red")):
        fs.human_labels.write(file, name, attribute="hair", value=value, labeller="anna")
    fs.human_labels.write(file, "a.png", attribute="gender", value="male", labeller="anna")
    plain = fs.human_labels.read(file, ATTRIBUTES)
    labels = fs.human_labels.read(file, ATTRIBUTES, people=fs.inputs.read_people(tmp_path, "who"))
    assert labels["person"].to_list() == ["anna", "anna", None, None]
    assert labels.drop("person").equals(plain)
    assert fs.human_labels.read(file, ATTRIBUTES, people=fs.inputs.read_people(tmp_path, None)).equals(plain)


def test_the_clock_decides_between_files_that_were_put_together(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text(
        "image_id,attribute,value,labeller,time\na.png,hair,red,anna,2026-02-01T10:00:00+00:00\n"
        "a.png,hair,black,anna,2026-01-01T10:00:00\n"
    )
    assert fs.human_labels.read(file, ATTRIBUTES)["value"].to_list() == ["red"]


def test_labels_have_one_type_with_and_without_rows(tmp_path):
    file = tmp_path / "labels.csv"
    empty = fs.human_labels.read(file, ATTRIBUTES)
    fs.human_labels.write(file, "a.png", attribute="hair", value="red", labeller="anna")
    full = fs.human_labels.read(file, ATTRIBUTES)
    assert full.schema == empty.schema
    assert full.schema["value"] == pl.String


@pytest.mark.parametrize(
    "content",
    [
        "sep=;\nimage_id;attribute;value\na.jpg;gender;male\n",
        "image_id,attribute,value\ra.jpg,gender,male\r",
        "Image_ID, Attribute, Value\r\na.jpg, Gender, Male\r\n",
        "File_Name\tattribute\tvalue\na.jpg\tgender\tMALE\n",
    ],
)
def test_a_file_of_answers_is_read_as_people_write_it(tmp_path, content):
    file = tmp_path / "answers.csv"
    file.write_bytes(content.encode())
    assert fs.human_labels.read(file, ATTRIBUTES).select("image_id", "attribute", "value").rows() == [
        ("a.jpg", "gender", "male")
    ]
    assert fs.human_labels.read_truth(file, ATTRIBUTES).rows() == [("a.jpg", "male")]


@pytest.mark.parametrize(
    "content",
    [
        "image_id,attribute,value,labeller\nJürgen.png,age,child,anna\n".encode("cp1252"),
        b"image_id,attribute,value,labeller\rJ.png,age,child,anna\r",
        b"sep=;\nImage_ID;Attribute;Value;Labeller\nJ.png;age;child;anna\n",
        b"sep=;\nImage_ID;Attribute;Value;Labeller\nJ.png;age;child;anna",
        b"File_Name|Attribute|Value|Labeller\r\nJ.png|age|child|anna",
    ],
)
def test_labels_are_added_to_files_as_people_have_them(tmp_path, content):
    file, attributes = tmp_path / "labels.csv", fs.testing.example_project().attributes
    file.write_bytes(content)
    before = fs.human_labels.read(file, attributes)["image_id"].to_list()
    fs.human_labels.write(file, "Árpád Zoë.png", attribute="age", value="child", labeller="anna")
    assert fs.human_labels.read(file, attributes)["image_id"].sort().to_list() == sorted(
        [*before, "Árpád Zoë.png"]
    )


def test_a_last_line_that_ends_within_a_letter_does_not_make_the_file_another_encoding(tmp_path):
    file, attributes = tmp_path / "labels.csv", fs.testing.example_project().attributes
    for name in ("Zoë.png", "ë"):
        fs.human_labels.write(file, name, attribute="age", value="child", labeller="anna")
    data = file.read_bytes()
    file.write_bytes(data[: data.rindex("ë".encode()) + 1])
    fs.human_labels.write(file, "a.png", attribute="age", value="child", labeller="anna")
    assert fs.human_labels.read(file, attributes)["image_id"].to_list() == ["Zoë.png", "a.png"]
