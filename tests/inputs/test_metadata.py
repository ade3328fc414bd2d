"""What the metadata beside the pictures says."""

import pytest

import facestats as fs


def test_people_are_asked_for_by_the_name_of_their_column(tmp_path):
    assert fs.inputs.read_people(tmp_path, None).columns == ["image_id"]
    with pytest.raises(
        fs.tables.TableError, match=r"no column 'who' that names the person; it has no such file"
    ):
        fs.inputs.read_people(tmp_path, "who")
    (tmp_path / "metadata.csv").write_text("file_name,name\na.jpg,x\na.jpg,y\n")
    with pytest.raises(fs.tables.TableError, match=r"no column 'who'.*it has \['name'\].*ratings.person"):
        fs.inputs.read_people(tmp_path, "who")
    with pytest.raises(fs.tables.TableError, match=r"several rows of 'a.jpg'"):
        fs.inputs.read_people(tmp_path, "name")


def test_persons_that_are_not_used_are_told(tmp_path, caplog):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "metadata.csv").write_text("file_name,Person\na.jpg,Anna\n")
    assert fs.inputs.read_people(tmp_path, None).is_empty()
    assert "the column Person of the metadata is not used. With `ratings: person: Person`" in caplog.text
    caplog.clear()
    fs.inputs.read_people(tmp_path, "person")
    assert "is not used" not in caplog.text
