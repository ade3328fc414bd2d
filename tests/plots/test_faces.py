"""Statuses, failures and alignment."""

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from facestats import plots
from facestats.plots.fitting import shorten_middle


def test_status_bars_count(table):
    ax = plots.status_bars(table)
    assert [p.get_width() for p in ax.patches] == [8, 3, 1]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["ok", "no_face", "truncated"]
    colors = [to_hex(p.get_facecolor()) for p in ax.patches]
    assert colors[0] != colors[1] == colors[2]


def test_failure_sheet_groups_by_status_and_opens_only_what_could_be_decoded(table, crops):
    ax = plots.failure_sheet(table, crops)
    texts = [t.get_text() for t in ax.texts]
    assert texts[-2:] == ["no_face\nn = 3", "truncated\nn = 1"]
    assert texts[0].startswith("8.png\nno face was found")
    sheet = np.asarray(ax.images[0].get_array())
    assert sheet[60, 60].tolist() == [160, 100, 50]
    assert sheet[sheet.shape[0] // 2 + 60, 60].tolist() == [225] * 3  # truncated: not opened again
    none = plots.failure_sheet(table.head(8), crops)
    assert "no failures among 8" in none.texts[0].get_text()


@pytest.mark.parametrize("n", [2, 8])
def test_captions_of_neighbours_do_not_touch(table, crops, n):
    error = "the picture ends early: 12,345 of 67,890 bytes are missing in averyveryverylongnamewithoutspaces"
    failed = table.tail(1).with_columns(
        image_id=pl.lit("folder/character_00012345678.jpg"), error=pl.lit(error)
    )
    ax = plots.failure_sheet(pl.concat([failed] * n), crops, n_faces=n)
    ax.figure.canvas.draw()
    boxes = [t.get_window_extent() for t in ax.texts[:n]]
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))
    assert ax.texts[0].get_text().endswith("…") == (n == 8)


def test_labels_of_rows_are_inside_the_figure(table, crops):
    four = pl.concat([table.tail(4)] * 4)
    ax = plots.failure_sheet(four.with_columns(status=pl.lit("unsupported_format")), crops, n_faces=4)
    ax.figure.canvas.draw()
    assert ax.texts[-1].get_text().startswith("unsupported_format")
    assert ax.texts[-1].get_window_extent().x0 >= 0


def test_names_of_pictures_are_shortened_in_the_middle(table, crops):
    assert shorten_middle("character_00012.jpg", 24) == "character_00012.jpg"
    short = shorten_middle("a_long_folder/character_00012.jpg", 20)
    assert (len(short), short[:6], short[-9:]) == (20, "a_long", "00012.jpg")


def test_alignment_scatter_applies_the_matrix(table):
    template = {"nose tip": np.array([[30, 40]])}
    ax = plots.alignment_scatter(table, size=64, template=template)
    nose = ax.collections[3].get_offsets()
    assert np.allclose(nose, table["landmarks"].to_numpy()[:, 1])
    assert np.allclose(ax.collections[4].get_offsets(), [[30, 40]])
    assert ax.get_ylim() == (64, 0)
