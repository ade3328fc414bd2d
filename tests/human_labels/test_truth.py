"""How fs.human_labels.read_truth reads the truth that the audit scores against."""

import polars as pl
import pytest

import facestats as fs
from tests.audit.conftest import ATTRIBUTES


@pytest.mark.parametrize("column", ["Gender", "GENDER", "true_Gender", "gender", " Gender "])
def test_columns_of_truth_are_found_in_any_case_and_none_is_an_error(column, tmp_path):
    file = tmp_path / "truth.csv"
    file.write_text(f"image_id,{column},Hair_Color\na.jpg,female,brown\n")
    titled = ATTRIBUTES["hair_color"].model_copy(update={"title": "Hair_Color"})
    attributes = ATTRIBUTES | {"hair_color": titled}
    found = fs.human_labels.read_truth(file, attributes)
    assert found.columns == ["image_id", "true_gender", "true_hair_color"]
    assert found.rows() == [("a.jpg", "female", "brown")]
    file.write_text("image_id,sex\na.jpg,female\n")
    with pytest.raises(
        fs.tables.TableError,
        match=r"no column of an attribute: it has the columns \['image_id', 'sex'\].*gender",
    ):
        fs.human_labels.read_truth(file, attributes)


def test_truth_is_read_from_metadata_and_from_files(tmp_path):
    (tmp_path / "raw/sub").mkdir(parents=True)
    (tmp_path / "raw/metadata.csv").write_text(
        "file_name,text,true_gender,licence\na.jpg,x,male,CC0\nb.jpg,y,,\n"
    )
    (tmp_path / "raw/sub/metadata.csv").write_text("file_name,text,true_gender\nc.jpg,x,female\n")
    found = fs.human_labels.read_truth(tmp_path / "raw", ATTRIBUTES)
    assert found.to_dict(as_series=False) == {
        "image_id": ["a.jpg", "sub/c.jpg"],
        "true_gender": ["male", "female"],
    }
    file = tmp_path / "truth.csv"
    file.write_text("file_name,gender\na.jpg,female\n")
    assert fs.human_labels.read_truth(file, ATTRIBUTES)["true_gender"].to_list() == ["female"]
    file.write_text("file_name,gender\na.jpg,woman\n")
    with pytest.raises(fs.tables.TableError, match=r"holds 'woman', which is no option; the options are"):
        fs.human_labels.read_truth(file, ATTRIBUTES)
    file.write_text("file_name,gender\na.jpg,male\na.jpg,male\n")
    with pytest.raises(fs.tables.TableError, match=r"'a.jpg' is named twice"):
        fs.human_labels.read_truth(file, ATTRIBUTES)


def test_answers_of_people_are_truth(tmp_path):
    genders = pl.Series([*ATTRIBUTES["gender"].options] * 20)
    truth = pl.DataFrame({"image_id": [f"{i:04d}.jpg" for i in range(len(genders))], "true_gender": genders})
    file = tmp_path / "labels.csv"
    for row in truth.head(40).iter_rows(named=True):
        fs.human_labels.write(
            file, row["image_id"], attribute="gender", value=row["true_gender"], labeller="ann"
        )
    known = fs.human_labels.read_truth(file, ATTRIBUTES)
    assert known.columns == ["image_id", "true_gender"]
    assert known["true_gender"].to_list() == truth["true_gender"].head(40).to_list()
    file.write_text("image_id,attribute,value\na.jpg,gender,woman\n")
    with pytest.raises(fs.tables.TableError, match="'woman' is no option of 'gender'"):
        fs.human_labels.read_truth(file, ATTRIBUTES)


def test_labels_of_a_model_are_no_truth(tmp_path):
    file = tmp_path / "export.csv"
    file.write_text("image_id,gender,gender_score\na.jpg,male,0.9\n")
    with pytest.raises(fs.tables.TableError, match="labels that a model gave .it has 'gender_score'."):
        fs.human_labels.read_truth(file, ATTRIBUTES)
    file.write_text("image_id,gender,gender_score,true_gender\na.jpg,male,0.9,female\n")
    assert fs.human_labels.read_truth(file, ATTRIBUTES)["true_gender"].to_list() == ["female"]


def test_columns_that_look_like_truth_and_are_not_read_are_named(tmp_path, caplog):
    (tmp_path / "metadata.csv").write_text("file_name,gender,true_sex\na.jpg,male,male\n")
    assert "true_gender" not in fs.human_labels.read_truth(tmp_path, ATTRIBUTES).columns
    assert "not read as truth: gender (rename it true_gender)" in caplog.text
    assert "the column true_sex belongs to no attribute" in caplog.text


@pytest.mark.parametrize(
    ("header", "row", "known"),
    [
        ("image_id,gender,True_Gender", "a.jpg,male,female", "female"),
        ("image_id,age,age_score,gender,true_gender", "a.jpg,child,0.9,male,female", "female"),
        ("id,file_name,Gender,error,warning", "a,a.jpg,male,,toy model", None),
    ],
)
def test_only_what_people_know_is_truth(tmp_path, header, row, known):
    file = tmp_path / "t.csv"
    file.write_text(f"{header}\n{row}\n")
    if known is None:
        with pytest.raises(
            fs.tables.TableError, match="'error', 'warning'.*labels that a model gave|labels that a model"
        ):
            fs.human_labels.read_truth(file, ATTRIBUTES)
    else:
        assert fs.human_labels.read_truth(file, ATTRIBUTES)["true_gender"].to_list() == [known]
