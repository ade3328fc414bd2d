from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import facestats as fs
from facestats import average_faces
from facestats.core.tables import COMPOSITES

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl


def test_a_composite_carries_its_members_in_png_and_table(faces: pl.DataFrame, crops: Path, tmp_path: Path):
    women = average_faces(faces, crops, method="warp", where={"gender": "female"})
    told = fs.composites.read(women.save(tmp_path / "women.png"))
    assert tuple(told["members"]) == women.members
    assert told["settings"]["where"] == "gender = female"
    assert np.array_equal(np.asarray(Image.open(tmp_path / "women.png")), women.pixels)
    assert women._repr_png_().startswith(b"\x89PNG")
    row = women.to_frame("women")
    assert row.select("composite", "method", "n").row(0) == ("women", "warp", 10)
    assert tuple(row["members"][0]) == women.members
    with pytest.raises(ValueError, match=r"must end in \.png"):
        women.save(tmp_path / "women.jpg")
    with pytest.raises(ValueError, match="does not say how it was made"):
        fs.composites.read(crops / "0.png")


def test_everything_made_of_faces_names_them_in_table_and_png(
    results: dict, faces: pl.DataFrame, tmp_path: Path
):
    table = fs.tables.check_table(fs.composites.tabulate(results), COMPOSITES)
    assert table["composite"].to_list() == list(results)
    assert table["method"].to_list() == ["mean", "difference", "eigenfaces"]
    assert table["n"].to_list() == [10, 19, 20]
    for row in table.iter_rows(named=True):
        told = fs.composites.read(results[row["composite"]].save(tmp_path / f"{row['composite']}.png"))
        assert told["members"] == row["members"]
        assert set(row["members"]) <= set(faces["image_id"])
        assert told["weights"] == row["weights"]
        assert told["settings"] == json.loads(row["settings"])
        assert len(row["members"]) == len(row["weights"]) == row["n"] == told["n"]
    empty = fs.tables.check_table(fs.composites.tabulate({}), COMPOSITES)
    assert empty.is_empty()
    assert empty.schema == table.schema


def test_files_are_named_by_group_method_and_number_and_old_ones_go(tmp_path):
    project = fs.testing.example_project()
    average = fs.average_faces(project.faces, project.crops_dir)
    (tmp_path / "mine.png").write_bytes(b"not ours")
    first = fs.composites.save({"a/b": average, "a b": average, "\xc4rzte": average}, tmp_path)
    assert first["file"].to_list() == ["a_b_mean_n12.png", "a_b_mean_n12_2.png", "\xc4rzte_mean_n12.png"]
    fs.composites.save({"c": average}, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"mine.png", "c_mean_n12.png"}
    assert fs.composites.read(tmp_path / "c_mean_n12.png")["n"] == 12
