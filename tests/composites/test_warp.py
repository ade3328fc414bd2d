from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facestats.composites.warp import (
    LEFT,
    LIP_PAIRS,
    MIDLINE,
    MIN_AREA,
    RIGHT,
    WARPED,
    build_mesh,
    crop_shapes,
    face_vertices,
    mirror_shape,
    signed_areas,
    unfold,
    warp_face,
)
from facestats.core.tables import N_LANDMARKS

SIZE = (96, 96)


def symmetric_shape(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    middle = np.column_stack([np.full(len(MIDLINE), 47.5), np.linspace(15, 85, len(MIDLINE))])
    left = rng.uniform((18, 15), (44, 85), size=(len(LEFT), 2))
    return np.concatenate([middle, left, left * [-1, 1] + [95, 0]])


def noise_picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def test_left_and_right_are_pairs():
    assert len(LEFT) == len(RIGHT)
    assert len(set(WARPED)) == len(WARPED)
    assert {i for pair in LIP_PAIRS for i in pair} <= set(WARPED)


def test_a_face_on_its_own_shape_is_unchanged_to_the_last_bit():
    shape, pixels = symmetric_shape(), noise_picture()
    assert np.array_equal(warp_face(pixels, shape, build_mesh(shape, SIZE)), pixels)


def test_moved_landmarks_end_on_the_target():
    target = symmetric_shape()
    source = target + np.array([3, 2])
    pixels = np.zeros((*SIZE, 3), dtype=np.uint8)
    x, y = source[WARPED.index(1)].round().astype(int)
    pixels[y - 1 : y + 2, x - 1 : x + 2] = 255
    warped = warp_face(pixels, source, build_mesh(target, SIZE))[..., 0].astype(float)
    found = (np.indices(SIZE) * warped).sum(axis=(1, 2)) / warped.sum()
    assert np.abs(found[::-1] - target[WARPED.index(1)]).max() < 1


def test_every_pixel_lies_in_a_triangle_and_the_border_stays():
    mesh = build_mesh(symmetric_shape(), SIZE)
    weights = mesh.weights.toarray()
    assert weights.min() > -1e-9
    assert np.allclose(weights.sum(axis=1), 1)
    pixels = np.full((*SIZE, 3), 200, dtype=np.uint8)
    moved = symmetric_shape() * 0.9 + 8
    assert (warp_face(pixels, moved, mesh) == 200).all()  # no dark corners, no seams


@given(st.integers(0, 10_000), st.floats(0, 25))
@settings(max_examples=30, deadline=None)
def test_nothing_folds_however_wild_the_landmarks(seed: int, wildness: float):
    mesh = build_mesh(symmetric_shape(), SIZE)
    source = symmetric_shape() + np.random.default_rng(seed).normal(0, wildness, (len(WARPED), 2))
    areas = signed_areas(unfold(face_vertices(source, SIZE), mesh), mesh.triangles)
    assert (areas >= MIN_AREA * mesh.areas).all()


def test_unfold_leaves_a_shape_without_folds_alone():
    mesh = build_mesh(symmetric_shape(), SIZE)
    vertices = face_vertices(symmetric_shape() * [1, 0.95], SIZE)
    assert (signed_areas(vertices, mesh.triangles) > MIN_AREA * mesh.areas).all()
    assert np.array_equal(unfold(vertices, mesh), vertices)


def test_crossed_lips_are_parted():
    shape = symmetric_shape()
    for upper, lower in LIP_PAIRS:
        shape[WARPED.index(upper)], shape[WARPED.index(lower)] = (40, 70.5), (40, 69.5)  # upper below lower
    points = face_vertices(shape, SIZE)
    for upper, lower in LIP_PAIRS:
        gap = points[WARPED.index(lower)] - points[WARPED.index(upper)]
        assert gap[0] == 0
        assert 0 < gap[1] < 1


def test_landmarks_outside_the_crop_are_kept_inside():
    points = face_vertices(symmetric_shape() * 3 - 100, SIZE)[: len(WARPED)]
    assert points.min() > 0
    assert points.max() < 95


def test_average_of_a_face_and_its_mirror_is_symmetric():
    shape = symmetric_shape() + np.random.default_rng(1).normal(0, 0.7, (len(WARPED), 2))
    pixels = noise_picture()
    mesh = build_mesh((shape + mirror_shape(shape, 96)) / 2, SIZE)
    both = [warp_face(pixels, shape, mesh), warp_face(pixels[:, ::-1].copy(), mirror_shape(shape, 96), mesh)]
    mean = np.mean(both, axis=0)
    # a tie of the triangulation may fall on either side of the face: a few pixels, on pure noise
    assert (np.abs(mean - mean[:, ::-1]) > 1).mean() < 0.02


def test_mirroring_twice_is_the_same_shape():
    shape = symmetric_shape(3)
    assert np.allclose(mirror_shape(mirror_shape(shape, 96), 96), shape)
    assert np.allclose(mirror_shape(symmetric_shape(), 96), symmetric_shape())


def test_crop_shapes_apply_the_matrix():
    landmarks = np.random.default_rng(0).uniform(0, 500, (2, N_LANDMARKS, 2)).astype(np.float32)
    matrix = np.array([[0.5, -0.1, 3], [0.1, 0.5, -2]])
    shapes = crop_shapes(landmarks, np.stack([matrix, matrix]))
    for k, number in enumerate(WARPED[:20]):
        assert shapes[1, k] == pytest.approx(matrix[:, :2] @ landmarks[1, number] + matrix[:, 2])
