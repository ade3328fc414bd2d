"""Bars and histograms count what the table holds."""

import numpy as np
import polars as pl
import pytest

from facestats import plots
from tests.plots.samples import N


def test_label_bars_show_shares_with_wilson_intervals(table):
    from facestats.core.stats import wilson_interval

    ax = plots.label_bars(table, "age")
    assert [p.get_width() for p in ax.patches] == [0.4, 0, 0.6]
    low, high = wilson_interval([4, 0, 6], [10, 10, 10])
    ends = np.array([s[:, 0] for s in ax.collections[0].get_segments()])
    assert np.allclose(ends, np.column_stack([low, high]))
    assert "n = 10, 2 without a label" in ax.get_title(loc="left")
    by = plots.label_bars(table, "age", by="gender")
    assert [t.get_text() for t in by.get_legend().get_texts()] == ["female (n = 5)", "male (n = 5)"]


def test_probability_bars_of_one_face(table):
    ax = plots.probability_bars(table.head(1), "age")
    assert [p.get_width() for p in ax.patches] == pytest.approx([0.05, 0.05, 0.9])
    assert "no label" in plots.probability_bars(table.tail(1), "age").texts[0].get_text()
    with pytest.raises(ValueError, match="one face, got 12 rows"):
        plots.probability_bars(table, "age")


def test_histogram_counts_every_number(table):
    assert sum(p.get_height() for p in plots.histogram(table, "score").patches) == N
    whole = plots.histogram(pl.DataFrame({"age": [18, 19, 19, 54, None]}), "age")
    assert sum(p.get_height() for p in whole.patches) == 4
    assert {round(p.get_width(), 6) for p in whole.patches} == {1.0}
    assert "1 missing" in whole.get_title(loc="left")
    with pytest.raises(ValueError, match="no numbers"):
        plots.histogram(table, "gender")


def test_score_histogram_says_what_a_threshold_keeps(table):
    ax = plots.score_histogram(table, "age", threshold=0.5)
    assert ax.texts[0].get_text() == "60% kept"
