"""Every file is a row, and no file takes the program down; `make hostile` tries ten thousand."""

import pytest

import facestats as fs
from tests.hostile.pictures import align, good_pictures, write_pictures

LOST = {"decode_crash", "decode_timeout", "decode_memory"}


@pytest.mark.slow
def test_good_hostile_and_mutated_pictures_are_rows(tmp_path):
    expected = write_pictures(tmp_path / "raw", n=150, seed=1)
    faces = align(tmp_path / "raw", fs.testing.example_project().landmarker, workers=2)
    found = dict(faces.select("image_id", "status").iter_rows())
    assert {name: found[name] for name in good_pictures() if not found[name].startswith("ok")} == {}
    assert {name: found[name] for name, may in expected.items() if found[name] not in may} == {}
    assert not LOST & set(found.values())
    failed = faces.filter(~faces["status"].cast(str).str.starts_with("ok"))
    assert failed["error"].null_count() == 0
    assert failed["error"].str.len_chars().max() <= 400
