"""Points with intervals stand where the numbers say, in the looks that were asked for."""

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest

from facestats.plots.intervals import draw_intervals, name_rows
from facestats.plots.style import BLUE, ORANGE


def drawn(ax):
    """Marks of each look, (x, y), and the ends of all intervals."""
    marks = {
        (c.lines[0].get_color(), c.lines[0].get_markerfacecolor()): c.lines[0].get_xydata().tolist()
        for c in ax.containers
    }
    return marks, [s.tolist() for c in ax.containers for s in c.lines[2][0].get_segments()]


@pytest.mark.parametrize("vertical", [False, True])
def test_values_and_ends_are_those_of_the_table(vertical):
    ax = plt.subplots()[1]
    table = pl.DataFrame({"v": [1, 3], "lo": [0.5, 2.0], "hi": [2.0, 3.5]})
    draw_intervals(ax, table["v"], table["lo"], table["hi"], at=[10, 20], vertical=vertical)
    marks, ends = drawn(ax)
    turn = (lambda xy: xy[::-1]) if vertical else (lambda xy: xy)
    assert marks == {(BLUE, BLUE): [turn([1, 10]), turn([3, 20])]}
    assert ends == [[turn([0.5, 10]), turn([2.0, 10])], [turn([2.0, 20]), turn([3.5, 20])]]


def test_each_look_has_its_points():
    ax = plt.subplots()[1]
    low, high = np.zeros(3), np.full(3, 4.0)
    draw_intervals(ax, [1, 2, 3], low, high, colors=[BLUE, ORANGE, BLUE], filled=[True, True, False])
    assert drawn(ax)[0] == {(BLUE, BLUE): [[1, 0]], (ORANGE, ORANGE): [[2, 1]], (BLUE, "white"): [[3, 2]]}


def test_a_missing_end_has_no_line_and_a_missing_value_no_mark():
    ax = plt.subplots()[1]
    value = pl.Series([1.0, None], dtype=pl.Float64)
    draw_intervals(ax, value, pl.Series([None, None]), [2.0, 2.0])
    marks, ends = drawn(ax)
    assert ends[0] == [[1.0, 0.0], [2.0, 0.0]]
    assert np.isnan(marks[BLUE, BLUE][1][0])


def test_an_end_on_the_wrong_side_by_rounding_is_no_error():
    ax = plt.subplots()[1]
    draw_intervals(ax, [1.0], [1.0 + 1e-12], [1.0 - 1e-12])
    assert drawn(ax)[1] == [[[1.0, 0.0], [1.0, 0.0]]]


def test_no_rows_are_drawn_without_a_warning_and_the_first_row_is_on_top():
    ax = plt.subplots()[1]
    draw_intervals(ax, [], [], [], colors=[])
    name_rows(ax, [], n=0)
    assert ax.get_ylim() == (0.5, -0.5)
    name_rows(ax, ["a", "b"], n=2)
    assert ax.get_ylim() == (1.5, -0.5)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    name_rows(ax, None, n=99)
    assert ax.get_yticklabels() == []
