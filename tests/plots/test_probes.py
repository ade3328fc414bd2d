"""Probes against prompts."""

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import pytest

from facestats import plots


def curves(zero_shot=0.7):
    band = {"zero_shot": zero_shot, "zero_shot_low": zero_shot and 0.65, "zero_shot_high": zero_shot and 0.75}
    points = [(25, 0.6, 0.5, 0.7), (50, 0.7, 0.62, 0.78), (160, 0.8, 0.75, 0.85)]
    rows = [
        {"attribute": "age", "n_labels": n, "accuracy": a, "low": lo, "high": hi, **band}
        for n, a, lo, hi in points
    ]
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(band, pl.Float64))


def test_learning_curve_shows_the_probe_with_intervals_and_the_prompts_across():
    ax = plt.subplots()[1]
    assert plots.learning_curve(curves(), "age", ax=ax) is ax
    probe, intervals = ax.containers[0].lines[0], ax.containers[0].lines[2][0]
    assert probe.get_xdata().tolist() == [25, 50, 160]
    assert probe.get_ydata().tolist() == [0.6, 0.7, 0.8]
    assert np.allclose([s[:, 1] for s in intervals.get_segments()], [[0.5, 0.7], [0.62, 0.78], [0.75, 0.85]])
    names = ax.get_legend_handles_labels()[1]
    assert sorted(names) == ["probe", "prompts"]
    assert "160" in ax.get_title(loc="left")


def test_learning_curve_without_prompts_draws_none_and_other_attributes_are_refused():
    ax = plots.learning_curve(curves(None), "age")
    assert ax.get_legend_handles_labels()[1] == ["probe"]
    with pytest.raises(ValueError, match=r"no probe was fitted for 'dress'; there are \['age'\]"):
        plots.learning_curve(curves(), "dress")


def report():
    return pl.DataFrame(
        {
            "attribute": ["age", "dress", "eyes"],
            "n_tested": [100, 90, 80],
            "gain": [0.1, -0.02, None],
            "gain_low": [0.05, -0.05, None],
            "gain_high": [0.15, 0.01, None],
            "promoted": [True, False, False],
        }
    )


def test_gain_bars_fill_what_is_promoted_and_count_what_cannot_be_compared():
    ax = plt.subplots()[1]
    assert plots.gain_bars(report(), ax=ax) is ax
    marks = {line.get_xdata()[0]: line.get_markerfacecolor() for line in ax.lines if line.get_marker() == "o"}
    assert marks[-0.02] == "white"
    assert marks[0.1] != "white"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["dress (n = 90)", "age (n = 100)"]
    assert "1 of 2 promoted, 1 without" in ax.get_title(loc="left")
    assert ax.get_ylim() == (-0.5, 1.5), "no mark is half outside"
    none = plots.gain_bars(report().tail(1))
    assert "too few human labels" in none.texts[0].get_text()
    assert "1 without" in none.get_title(loc="left")


def test_the_legend_of_a_learning_curve_lies_outside():
    ax = plots.learning_curve(curves(), "age")
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1
