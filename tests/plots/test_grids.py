"""Contact sheets show the right faces in the right places."""

import numpy as np
import polars as pl

from facestats import plots


def test_grid_shows_crops_in_order_and_grey_where_there_is_none(table, crops):
    gaps = table.with_columns(crop=pl.when(pl.int_range(pl.len()) == 1).then(None).otherwise("crop"))
    ax = plots.face_grid(gaps, crops, n_columns=4, captions="gender", n_faces=6)
    sheet = np.asarray(ax.images[0].get_array())
    tile = sheet.shape[1] // 4
    assert sheet[40, 40].tolist() == [0, 100, 50]
    assert sheet[40, tile + 40].tolist() == [225] * 3
    assert sheet[40, 2 * tile + 40].tolist() == [40, 100, 50]
    assert [t.get_text() for t in ax.texts] == ["female", "male"] * 3
    assert ax.get_title(loc="left") == "6 of 12"


def test_cluster_sheet_has_a_row_per_cluster_and_says_how_many(table, crops):
    named = table.with_columns(cluster_name=pl.lit("young, smiling"))
    ax = plots.cluster_sheet(named, crops, n_faces=3)
    texts = [t.get_text() for t in ax.texts]
    assert texts == [f"cluster {i}\nyoung, smiling\nn = {n}" for i, n in enumerate((5, 4, 2))]
