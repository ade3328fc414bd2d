"""Maps place and color faces as the table says."""

import numpy as np
import polars as pl
from matplotlib.colors import to_hex

from facestats import plots


def test_map_has_one_collection_per_value_at_the_places_of_its_faces(table):
    ax = plots.face_map(table, "age", names={"adult": "grown up"})
    labels = [t.get_text() for t in ax.get_legend().get_texts()]
    assert labels == ["missing (2)", "child (4)", "grown up (6)"]  # in the order of the options
    offsets = ax.collections[1].get_offsets()
    assert np.allclose(offsets, table.filter(age="child").select("x", "y").to_numpy())
    assert not ax.texts, "names would hide twelve points"
    many = plots.face_map(pl.concat([table] * 3), "age", names={"adult": "grown up"})
    assert [t.get_text() for t in many.texts] == ["grown up"]
    assert "n = 12" in ax.get_title(loc="left")


def test_values_with_the_same_name_are_told_apart(table):
    many = pl.concat([table] * 3)
    ax = plots.face_map(many, names={0: "mixed", 1: "old", 2: "mixed", 9: "not there"})
    assert [t.get_text() for t in ax.texts] == ["0: mixed", "1: old", "2: mixed"]
    labels = [t.get_text().partition(" (")[0] for t in ax.get_legend().get_texts()]
    assert labels == ["missing", "0: mixed", "1: old", "2: mixed"]
    unique = plots.face_map(many, names={0: "young", 1: "old", 9: "old"})
    assert [t.get_text() for t in unique.texts] == ["young", "old"]


def test_map_of_numbers_has_a_colour_bar(table):
    ax = plots.face_map(table, "score")
    assert len(ax.figure.axes) == 2
    assert ax.get_legend() is None
    assert np.allclose(ax.collections[0].get_array(), table["score"])


def test_map_leaves_out_what_has_no_place(table):
    gone = table.with_columns(x=pl.when(pl.int_range(pl.len()) < 3).then(None).otherwise("x"))
    assert "n = 9" in plots.face_map(gone).get_title(loc="left")


def test_large_maps_are_rasterised():
    n = 50_001
    big = pl.DataFrame({"x": np.zeros(n, np.float32), "y": np.zeros(n, np.float32), "cluster": [0] * n})
    assert plots.face_map(big).collections[0].get_rasterized()
    assert not plots.face_map(big.head(100)).collections[0].get_rasterized()


def test_map_with_many_values_groups_the_rare_ones():
    many = pl.DataFrame(
        {"x": np.arange(40.0), "y": np.arange(40.0), "name": [f"n{i:02d}" for i in range(40)]}
    )
    labels = [t.get_text() for t in plots.face_map(many, "name").get_legend().get_texts()]
    assert len(labels) == 25
    assert labels[-1] == "16 other values (16)"
    looks = {
        (to_hex(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes())
        for c in plots.face_map(many, "name").collections[:-1]
    }
    assert len(looks) == 24
