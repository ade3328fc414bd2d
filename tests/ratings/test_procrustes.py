import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.ratings.procrustes import align_shapes

SHAPE = np.random.default_rng(0).normal(size=(12, 2))


def moved(points, *, angle, scale, shift):
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + shift


@given(st.floats(-3, 3), st.floats(0.1, 100), st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_place_size_and_roll_do_not_count(angle, scale, shift):
    aligned, _ = align_shapes(np.stack([SHAPE, moved(SHAPE, angle=angle, scale=scale, shift=shift)]))
    assert aligned[0] == pytest.approx(aligned[1], abs=1e-6)


def test_a_mirrored_shape_is_another_shape():
    aligned, _ = align_shapes(np.stack([SHAPE, SHAPE * [-1, 1]]))
    assert np.abs(aligned[0] - aligned[1]).max() > 0.01


def test_new_shapes_are_laid_over_the_mean_given():
    rng = np.random.default_rng(1)
    shapes = SHAPE + rng.normal(0, 0.05, (20, 12, 2))
    aligned, mean = align_shapes(shapes)
    again, same = align_shapes(moved(shapes[3], angle=1, scale=9, shift=4)[None], mean)
    assert again[0] == pytest.approx(aligned[3])
    assert same == pytest.approx(mean)


@pytest.mark.parametrize("bad", [np.zeros((2, 3, 2)), np.zeros((3, 2)), np.full((1, 3, 2), np.nan)])
def test_what_is_no_shape_is_refused(bad):
    with pytest.raises(ValueError, match=r"no extent|points must have the shape \(n, points, 2\)"):
        align_shapes(bad)
