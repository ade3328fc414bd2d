"""Draw one character from back to front, then apply light, camera and noise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from facestats.demo.drawing.backdrop import paint_backdrop
from facestats.demo.drawing.canvas import Canvas, grain
from facestats.demo.drawing.dress import draw_body
from facestats.demo.drawing.face import draw_face
from facestats.demo.drawing.hair import Hair
from facestats.demo.drawing.head import Head
from facestats.demo.drawing.look import draw_look, draw_scene

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.Image import Image

    from facestats.demo.drawing.look import Scene

SIZE = 512


def paint_character(
    record: Mapping[str, str | None], *, seed: int, scene_seed: int | None = None, style: str = "train"
) -> tuple[np.ndarray, dict[str, tuple[float, float]], Scene]:
    """Draw a character as an array, with its true landmarks and its scene.

    Parameters
    ----------
    record
        The option of each of the nine attributes, None where it cannot be seen.
    seed
        Fixes the person: skin tone, features, cut of the clothes.
    scene_seed
        Fixes pose, light, backdrop and noise; by default the same as `seed`.
    style
        "train" or "eval": the ranges from which the scene is drawn.

    Returns
    -------
    tuple
        uint8 RGB of shape (512, 512, 3); landmark name to (x, y) in pixels; the scene.
    """
    person = np.random.default_rng([seed, 1])
    photo = np.random.default_rng([seed if scene_seed is None else scene_seed, 2])
    scene = draw_scene(photo, style=style)
    head = Head(draw_look(record, person), scene)
    canvas = Canvas(SIZE)
    paint_backdrop(canvas, scene)
    hair = Hair(head, person)
    hair.back(canvas)
    draw_body(canvas, head, rng=person)
    draw_face(canvas, head, rng=person)
    hair.front(canvas)
    return _photograph(canvas.finish(), scene, photo), head.landmarks(), scene


def draw_character(
    record: Mapping[str, str | None], *, seed: int, scene_seed: int | None = None, style: str = "train"
) -> tuple[Image, dict[str, tuple[float, float]]]:
    """Draw a half-body character of 512 x 512 pixels.

    Parameters
    ----------
    record
        The option of each of the nine attributes, None where it cannot be seen.
    seed
        Fixes the person; see `paint_character`.
    scene_seed
        Fixes the picture of that person; by default the same as `seed`.
    style
        "train" or "eval".

    Returns
    -------
    tuple
        The picture and its true landmarks: name to (x, y) in pixels.
    """
    from PIL import Image

    pixels, landmarks, _ = paint_character(record, seed=seed, scene_seed=scene_seed, style=style)
    return Image.fromarray(pixels), landmarks


def _photograph(pixels: np.ndarray, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Apply exposure, warmth, light that fades from one side to the other, and grain."""
    gain = scene.exposure * np.array([1 + 0.025 * scene.warmth, 1.0, 1 - 0.035 * scene.warmth], np.float32)
    side = np.linspace(-1, 1, SIZE, dtype=np.float32)[None, :] * np.float32(0.05 * scene.light)
    rows, cols = rng.integers(0, SIZE, 2)
    noise = np.roll(grain(SIZE), (int(rows), int(cols)), (0, 1)) * np.float32(0.6 * scene.noise)
    light = np.repeat(1 + side, SIZE, 0)
    planes = [
        cv2.multiply(plane, light * g, dtype=cv2.CV_32F) + noise
        for plane, g in zip(cv2.split(pixels), gain, strict=True)
    ]
    return cv2.merge([cv2.convertScaleAbs(np.maximum(plane, 0)) for plane in planes])
