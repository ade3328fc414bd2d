"""Draw the face of a character from back to front; nose and mouth are drawn in this module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import Canvas, mix, shade
from facestats.demo.drawing.eyes import paint_brow, paint_eye, paint_glasses, paint_socket
from facestats.demo.drawing.skin import (
    paint_age_lines,
    paint_beard,
    paint_ears,
    paint_freckles,
    paint_shading,
)

if TYPE_CHECKING:
    from facestats.demo.drawing.head import Head


def draw_face(canvas: Canvas, head: Head, *, rng: np.random.Generator) -> None:
    """Paint ears, face and features over the body.

    Parameters
    ----------
    canvas
        Painted in place.
    head
        The character and its pose.
    rng
        For freckles, wrinkles and bristles.
    """
    paint_ears(canvas, head)
    outline = head.outline()
    skin = head.look.skin
    canvas.fill(outline, skin)
    clip = canvas.mask(outline)
    paint_shading(canvas, head, clip)
    paint_age_lines(canvas, head, rng, clip=clip)
    paint_freckles(canvas, head, rng, clip=clip)
    if head.look.beard:
        paint_beard(canvas, head, rng, clip=clip)
    _nose(canvas, head)
    _mouth(canvas, head)
    for side in (-1, 1):
        paint_socket(canvas, head, side)
        paint_eye(canvas, head, side)
        paint_brow(canvas, head, rng, side=side)
    if head.look.extras["glasses"] < 0.06:
        paint_glasses(canvas, head)


def _nose(canvas: Canvas, head: Head) -> None:
    """Paint the shadows and highlights of the nose."""
    look, u, y, light = head.look, head.u, head.nose_y, head.scene.light
    wide = (0.235 + 0.03 * look.masc - 0.025 * look.youth) * look.traits[3]
    dark, lit = shade(look.skin, 0.56), shade(look.skin, 1.42)
    away = -1 if light > 0 else 1
    ridge = 0.62 * (1 - 0.35 * look.youth) * (0.75 if look.traits[2] > 0.5 else 1.0)
    for side in (-1, 1):
        flank = [[side * 0.17, -0.16], [side * 0.11, 0.12], [side * 0.15, y - 0.22], [side * wide * 0.95, y - 0.06],
                 [side * 0.27, y - 0.28], [side * 0.22, 0.1]]  # fmt: skip
        canvas.fill(
            head.smooth(flank, lift=0.1), dark, blur=0.05 * u, alpha=ridge * (0.85 if side == away else 0.35)
        )
    base = [[-wide, y + 0.02], [0, y + 0.10], [wide, y + 0.02], [0, y + 0.0]]
    canvas.fill(head.smooth(base, lift=0.08), dark, blur=0.03 * u, alpha=0.6)
    canvas.fill(
        head.smooth([[-0.1, y + 0.05], [0.1, y + 0.05], [0.13, y + 0.24], [-0.13, y + 0.24]]),
        dark,
        blur=0.05 * u,
        alpha=0.25,
    )
    for side in (-1, 1):
        wing = [[side * wide * 0.86, y - 0.17], [side * wide * 1.03, y - 0.06], [side * wide * 0.9, y + 0.05]]
        canvas.taper(
            head.smooth(wing, closed=False, lift=0.1), shade(look.skin, 0.46), width=0.038 * u, alpha=0.75
        )
        hole = head.on([[side * wide * 0.50, y + 0.012]], lift=0.14)[0]
        canvas.disc(hole, (0.30 * wide * u, 0.030 * u), shade(look.skin, 0.24), blur=0.008 * u, alpha=0.9)
    line = head.smooth([[0.02 * light, -0.1], [0.02 * light, y - 0.3]], closed=False, lift=0.2)
    canvas.taper(line, lit, width=0.09 * u, blur=0.03 * u, alpha=0.45 * ridge + 0.2)
    canvas.disc(
        head.on([[0.03 * light, y - 0.15]], lift=0.22)[0], (0.09 * u, 0.07 * u), lit, blur=0.03 * u, alpha=0.7
    )


def _mouth(canvas: Canvas, head: Head) -> None:
    """Paint the lips, open or closed."""
    look, u, s = head.look, head.u, head.scene
    w, y, full = (
        head.mouth_width(),
        head.mouth_y,
        look.traits[5] * (1.10 - 0.28 * look.masc - 0.2 * look.wear),
    )
    corner = y - 0.07 * s.smile
    gap = 0.10 * s.mouth_open * (0.4 + max(s.smile, 0))
    rouge = float(np.clip(1.0 - 1.6 * look.masc, 0, 1)) * (0.25 if look.youth > 0.75 else 1.0)
    lip = mix(mix(look.skin * 0.86, (176, 78, 74), 0.38), (188, 40, 62), 0.62 * rouge)
    top = [[-w, corner], [-0.5 * w, y - 0.055 * full - 0.01], [-0.15 * w, y - 0.105 * full], [0, y - 0.085 * full],
           [0.15 * w, y - 0.105 * full], [0.5 * w, y - 0.055 * full - 0.01], [w, corner]]  # fmt: skip
    middle = [[0.45 * w, y + 0.012], [0, y + 0.02], [-0.45 * w, y + 0.012]]
    bottom = [
        [0.5 * w, y + gap + 0.115 * full],
        [0, y + gap + 0.155 * full],
        [-0.5 * w, y + gap + 0.115 * full],
    ]
    upper, lower = (
        head.smooth(np.array(top + middle)),
        head.smooth(np.array([top[0], *bottom[::-1], top[-1], *middle])),
    )
    canvas.fill(lower, shade(lip, 1.06), blur=0.006 * u)
    if gap > 0.02:
        inside = head.smooth([top[0], [-0.5 * w, y + gap + 0.01], [0, y + gap + 0.03], [0.5 * w, y + gap + 0.01], top[-1],
                              *middle])  # fmt: skip
        clip = canvas.mask(inside)
        canvas.fill(inside, (92, 30, 34))
        canvas.disc(
            head.on([[0, y - 0.01]])[0], (0.72 * w * u, (0.045 + 0.5 * gap) * u), (246, 242, 236), clip=clip
        )
    canvas.fill(upper, shade(lip, 0.86), blur=0.006 * u)
    canvas.disc(
        head.on([[0.08 * s.light, y + gap + 0.085 * full]])[0],
        (0.15 * u, 0.028 * u),
        shade(lip, 1.55),
        blur=0.02 * u,
        alpha=0.6,
    )
    seam = head.smooth([top[0], middle[2], middle[1], middle[0], top[-1]], closed=False)
    canvas.taper(seam, shade(lip, 0.36), width=0.034 * u, ends=(0.6, 0.6), alpha=0.9)
    for side in (-1, 1):
        canvas.disc(
            head.on([[side * (w + 0.02), corner]])[0],
            0.03 * u,
            shade(look.skin, 0.5),
            blur=0.02 * u,
            alpha=0.5,
        )
