import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facestats.pictures.geometry import _HEAD as HEAD
from facestats.pictures.geometry import (
    PUPILS,
    TEMPLATE,
    TEMPLATE_BOX,
    align_matrix,
    crop_face,
    eye_distance,
    fit_similarity,
    head_pose,
    transform_points,
)

coordinate = st.floats(-1000, 1000)
finite = {"allow_nan": False, "allow_infinity": False}


def similarity(scale, degrees, shift):
    a = np.radians(degrees)
    return np.column_stack([scale * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]), shift])


def rotation(yaw=0.0, pitch=0.0, roll=0.0):
    """Rotate a head (x right, y down, z away): the nose to the right, then up, then the head clockwise."""
    y, p, r = np.radians([-yaw, -pitch, roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def head_points(turn, scale=120.0):
    mesh = np.zeros((478, 3))
    mesh[list(HEAD)] = np.array(list(HEAD.values())) @ turn.T * scale + (300, 200, 0)
    return mesh[:, :2].astype(np.float32), mesh[:, 2].astype(np.float32)


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 23 + k) * np.cos(y / 31 - k) for k in range(3)]
    return (127 + 120 * np.stack(waves, axis=2)).astype(np.uint8)


@given(st.floats(0.05, 20), st.floats(-180, 180), coordinate, coordinate)
def test_the_similarity_of_two_point_sets_is_found(scale, degrees, dx, dy):
    points = np.random.default_rng(0).normal(0, 50, (7, 2))
    true = similarity(scale, degrees, (dx, dy))
    np.testing.assert_allclose(fit_similarity(points, transform_points(points, true)), true, atol=1e-6)


def test_the_fit_is_never_a_reflection():
    points = np.random.default_rng(0).normal(size=(7, 2))
    found = fit_similarity(points, points * (-1, 1))
    assert np.linalg.det(found[:, :2]) > 0


def test_no_other_similarity_fits_better():
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(2, 7, 2))
    best = fit_similarity(source, target)
    error = ((transform_points(source, best) - target) ** 2).sum()
    for _ in range(200):
        near = best + similarity(*rng.normal(0, 0.05, 2), rng.normal(0, 0.05, 2))
        assert ((transform_points(source, near) - target) ** 2).sum() >= error


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (np.ones((7, 2)), np.eye(7)[:, :2]),
        (np.full((7, 2), np.nan), np.eye(7)[:, :2]),
        (np.eye(7)[:, :2], np.full((7, 2), np.nan)),
        (np.eye(3)[:, :2], np.eye(4)[:, :2]),
        (np.ones((1, 2)), np.ones((1, 2))),
    ],
)
def test_points_without_a_similarity_are_refused(source, target):
    with pytest.raises(ValueError, match="points"):
        fit_similarity(source, target)


def test_the_template_is_symmetric_and_the_pupils_have_their_places():
    places = {**TEMPLATE, "left": PUPILS[0], "right": PUPILS[1]}
    for left, right in ((33, 263), (133, 362), (61, 291), ("left", "right")):
        assert np.allclose(np.add(places[left], places[right])[0], 1)
        assert places[left][1] == places[right][1]
    assert places[2][0] == 0.5
    assert PUPILS[0][1] == 0.48
    assert np.isclose(PUPILS[1][0] - PUPILS[0][0], 116 / 512)


@given(st.floats(0.1, 8), st.floats(-180, 180), st.floats(0, 500), st.floats(0, 500))
def test_a_face_with_the_shape_of_the_template_is_mapped_onto_it(scale, degrees, dx, dy):
    mesh = np.random.default_rng(0).uniform(0, 512, (478, 2))
    mesh[list(TEMPLATE)] = np.array(list(TEMPLATE.values())) * 512 - 0.5
    points = transform_points(mesh, similarity(scale, degrees, (dx, dy)))
    found = transform_points(points, align_matrix(points, (0, 0, 1, 1), size=512))
    np.testing.assert_allclose(found, mesh, atol=1e-6)


def test_a_box_without_landmarks_is_mapped_onto_the_mean_face():
    box = (
        100.0,
        50.0,
        100 + 200 * (TEMPLATE_BOX[2] - TEMPLATE_BOX[0]),
        50 + 200 * (TEMPLATE_BOX[3] - TEMPLATE_BOX[1]),
    )
    matrix = align_matrix(None, box, size=100)
    np.testing.assert_allclose(matrix[:, :2], np.eye(2) / 2, atol=1e-9)
    corners = transform_points(np.reshape(box, (2, 2)), matrix)
    np.testing.assert_allclose(corners.ravel(), np.array(TEMPLATE_BOX) * 100 - 0.5)


def test_a_crop_with_the_identity_matrix_is_the_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_face(pixels, np.eye(3)[:2], 64), pixels)


@pytest.mark.parametrize("scale", [0.07, 0.3, 0.5, 0.77, 1.0, 1.9, 4.0])
def test_a_crop_shows_what_the_matrix_says(scale):
    """A smooth picture, so that the true value under every crop pixel is known."""
    height, width = int(150 / scale) + 200, int(170 / scale) + 200
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x * 250 / width, y * 250 / height, 0 * x], axis=2).astype(np.uint8)
    matrix = similarity(scale, 12, (-20 * scale + 30, -60 * scale))
    crop = crop_face(picture, matrix, 128)
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    cy, cx = np.mgrid[:128, :128]
    where = transform_points(np.column_stack([cx.ravel(), cy.ravel()]), inverse).reshape(128, 128, 2)
    inside = ((where > 20) & (where < (width - 20, height - 20))).all(axis=2)
    assert inside.mean() > 0.5
    expected = where * (250 / width, 250 / height)
    assert np.abs(crop[..., :2] - expected)[inside].max() <= 2


def test_a_large_face_does_not_alias():
    checks = np.kron(np.indices((600, 600)).sum(axis=0) % 2, np.ones((2, 2))) * 255
    picture = np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    crop = crop_face(picture, similarity(0.1, 0, (0, 0)), 100).astype(float)
    assert crop.std() < 3
    assert abs(crop.mean() - 127.5) < 3


def test_a_crop_beyond_the_picture_repeats_its_edge():
    picture = smooth(200, 200)
    crop = crop_face(picture, similarity(1, 0, (100, 0)), 200)
    np.testing.assert_array_equal(crop[:, 100:], picture[:, :100])
    np.testing.assert_array_equal(crop[:, :100], np.repeat(picture[:, :1], 100, axis=1))


@pytest.mark.parametrize("scale", [0.05, 0.4, 3.0])
@pytest.mark.parametrize("shift", [(5000, 0), (0, -5000), (-9000, 9000)])
def test_a_crop_that_lies_outside_the_picture_is_a_crop(scale, shift):
    assert crop_face(smooth(90, 120), similarity(scale, 30, shift), 64).shape == (64, 64, 3)


def test_equal_arguments_give_equal_bits():
    picture, matrix = smooth(900, 700), similarity(0.31, 7, (-20, 11))
    first = crop_face(picture, matrix, 256)
    np.testing.assert_array_equal(first, crop_face(picture.copy(), matrix.tolist(), 256))


@given(st.floats(-60, 60), st.floats(-50, 50), st.floats(-170, 170))
def test_the_pose_of_a_turned_head_is_found(yaw, pitch, roll):
    found = head_pose(*head_points(rotation(yaw, pitch, roll)))
    np.testing.assert_allclose(found, (yaw, pitch, roll), atol=0.01)


def test_the_signs_of_the_pose_are_those_of_the_picture():
    tip = 4
    straight, _ = head_points(rotation())
    right, _ = head_points(rotation(yaw=30))
    up, _ = head_points(rotation(pitch=30))
    tilted, _ = head_points(rotation(roll=30))
    assert right[tip, 0] > straight[tip, 0] + 10
    assert up[tip, 1] < straight[tip, 1] - 10
    assert tilted[263, 1] > tilted[33, 1] + 10  # clockwise: the eye on the right sinks


def test_the_pose_does_not_depend_on_size_or_place():
    turn = rotation(20, -10, 5)
    np.testing.assert_allclose(
        head_pose(*head_points(turn, scale=30)), head_pose(*head_points(turn, scale=900)), atol=0.01
    )


def test_eye_distance_is_that_of_the_irises_or_else_of_the_eye_corners():
    points = np.zeros((478, 2), dtype=np.float32)
    points[[468, 473]] = (10, 20), (40, 60)
    points[[33, 133, 362, 263]] = (0, 0), (10, 0), (90, 0), (100, 0)
    assert eye_distance(points) == 50
    assert eye_distance(points[:468]) == 90
