"""Stability, profiles and relations of clusters."""

import polars as pl
import pytest
from matplotlib.colors import to_hex

from facestats import plots
from tests.plots.samples import profile, relations, stability


def test_profile_fills_what_is_sure_only():
    ax = plots.profile_bars(profile(), 0)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["age: teen (3)", "age: child (5)"]
    faces = [to_hex(line.get_markerfacecolor()) for line in ax.lines if line.get_marker() == "o"]
    assert faces[0] == "#ffffff" != faces[1]
    with pytest.raises(ValueError, match="no cluster 7"):
        plots.profile_bars(profile(), 7)


def test_a_ratio_stays_inside_and_an_interval_that_is_cut_has_a_mark():
    wide = profile().with_columns(
        ratio=pl.Series([40.0, 0.0, 1.0]),
        ratio_low=pl.Series([3.0, 0.0, 0.5]),
        ratio_high=pl.Series([900.0, 1.5, 2.0]),
    )
    ax = plots.profile_bars(wide, 0)
    left, right = ax.get_xlim()
    marks = [x for line in ax.lines if line.get_marker() == "o" for x in line.get_xdata()]
    assert sorted(marks)[-1] == 40
    assert all(left < x < right for x in marks)
    cut = {tuple(xy) for c in ax.collections[-2:] for xy in c.get_offsets().tolist()}
    assert {y for x, y in cut if x < 1} == {0}, "the ratio of 0"
    assert {y for x, y in cut if x > 1} == {1}, "the interval up to 900"
    whole = plots.profile_bars(profile(), 0)
    assert not any(len(c.get_offsets()) for c in whole.collections[-2:])


def test_curve_marks_the_chosen_number():
    ax = plots.stability_curve(stability())
    assert "suggested: 3" in ax.get_title(loc="left")
    assert ax.collections[-1].get_offsets().tolist() == [[3, 0.8]]


def test_a_column_without_two_values_has_a_line_of_text_for_a_bar():
    unknown = pl.DataFrame({"column": ["dress"], "n": [0], "ami": [None], "chance_high": [None]})
    table = pl.concat([unknown.cast({"ami": pl.Float64, "chance_high": pl.Float64}), relations()])
    ax = plots.relation_bars(table)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["age (n = 12)", "coin (n = 12)", "dress (n = 0)"]
    assert [p.get_width() for p in ax.patches] == [0.4, 0.01]
    assert ax.texts[0].get_position() == (0, 2)
    plots.relation_bars(table.head(1)).figure.canvas.draw()
