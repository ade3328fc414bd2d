"""Average faces, differences and components."""

import dataclasses

import numpy as np
import pytest

from facestats import plots
from tests.plots.samples import composite, eigen, group_difference


def test_composites_say_what_they_are_and_what_was_relaxed():
    ax = plots.composite_grid({"women": composite(90), "men": composite(30)})
    assert ax.texts[0].get_text() == "women\nmean, n = 2\ngender = female\nrelaxed: age = 20"
    sheet = np.asarray(ax.images[0].get_array())
    assert sheet[10, 10].tolist() == [90] * 3
    assert sheet[10, -10].tolist() == [30] * 3
    spread = plots.composite_grid({"women": composite()}, layer="sd").images[0].get_array()
    assert spread[10, 10] == 7
    with pytest.raises(ValueError, match="differ in size"):
        plots.composite_grid({"a": composite(), "b": composite(side=16)})


def test_difference_map_is_symmetric_about_zero_and_outlines_what_is_sure():
    ax = plots.difference_map(group_difference())
    assert ax.images[0].get_clim() == (-9, 9)
    assert "women (n = 9) minus men (n = 8)" in ax.get_title(loc="left")
    assert "6% of pixels" in ax.get_xlabel()


def test_a_small_outline_is_not_none():
    found = group_difference()
    p = np.ones((40, 40))
    p[0, 0] = 0.01
    small = dataclasses.replace(found, difference=np.zeros((40, 40), np.float32), t=p, p=p)
    assert "outlined: <1% of pixels" in plots.difference_map(small).get_xlabel()
    none = dataclasses.replace(small, p=np.ones((40, 40)))
    assert "outlined: 0% of pixels" in plots.difference_map(none).get_xlabel()


def test_walk_has_a_row_per_component_and_the_mean_in_the_middle():
    ax = plots.eigenface_walk(eigen(), n_components=2, steps=(-2, 0, 2))
    texts = [t.get_text() for t in ax.texts]
    assert texts[:3] == ["-2 SD", "mean", "+2 SD"]
    assert texts[-1].startswith("component 1")
    assert np.asarray(ax.images[0].get_array())[4, 16 + 8].tolist() == [99] * 3
