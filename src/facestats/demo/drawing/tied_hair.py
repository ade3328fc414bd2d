"""Draw tied hair: a ponytail, a bun, braids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import Canvas, curve, shade, shift

if TYPE_CHECKING:
    from facestats.demo.drawing.strands import Strands


def paint_tail(hair: Strands, canvas: Canvas) -> None:
    """Paint a high ponytail on one side that hangs beside the face."""
    s, top = hair.head.look.side, hair.head.top
    spine = [[s * 0.62, top + 0.12], [s * 0.98, top - 0.20], [s * 1.42, top + 0.15]]
    if hair.length == "short":
        spine += [[s * 1.66, -0.70], [s * 1.60, -0.15 + 0.25 * hair.end]]
    else:
        spine += [[s * 1.72, -0.3], [s * 1.74, 0.7], [s * 1.60, 1.6], [s * 1.50, hair.end]]
    line = curve(spine, closed=False, steps=7)
    t = np.linspace(0, 1, len(line))
    half = np.interp(t, [0, 0.12, 0.4, 0.8, 1], [0.10, 0.20, 0.30, 0.24, 0.04]) * hair.head.look.volume
    tangent = np.gradient(line, axis=0)
    normal = tangent[:, ::-1] * [-1, 1] / np.linalg.norm(tangent, axis=1, keepdims=True)
    hair.lock(canvas, line - normal * half[:, None], line + normal * half[:, None], count=16)
    knot = hair.head.at([[s * 0.72, top + 0.02]])[0]
    canvas.disc(knot, (0.15 * hair.u, 0.13 * hair.u), shade(hair.band, 0.6))
    canvas.disc(knot - 0.01 * hair.u, (0.12 * hair.u, 0.10 * hair.u), hair.band, blur=0.02 * hair.u)


def paint_bun(hair: Strands, canvas: Canvas) -> None:
    """Paint a bun on top of the head."""
    c = np.array([hair.head.look.side * 0.08, hair.head.top - 0.30])
    r = 0.46 * hair.head.look.volume
    t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ball = c + np.stack([r * 1.12 * np.cos(t), r * 0.92 * np.sin(t)], 1)
    canvas.fill(hair.head.at(ball), hair.dark)
    canvas.fill(hair.head.at(c + (ball - c) * 0.95), hair.base, blur=0.02 * hair.u)
    turns = []
    for k in range(9):
        angle = np.linspace(0, 1.6 * np.pi, 18) + k * 0.7
        radius = r * np.linspace(0.12 + 0.09 * k, 0.22 + 0.09 * k, 18).clip(0, 0.98)
        turns.append(
            hair.head.at(c + np.stack([1.10 * radius * np.cos(angle), 0.9 * radius * np.sin(angle)], 1))
        )
    canvas.strokes(turns[::2], hair.dark, width=0.030 * hair.u, alpha=0.75)
    canvas.strokes(turns[1::2], hair.lit, width=0.022 * hair.u, alpha=0.6)
    canvas.disc(
        hair.head.at([shift(c, -0.12, -0.16)])[0], 0.16 * hair.u, hair.lit, blur=0.07 * hair.u, alpha=0.5
    )
    band = curve(
        [[-0.36, hair.head.top + 0.04], [0, hair.head.top - 0.03], [0.36, hair.head.top + 0.04]],
        closed=False,
    )
    canvas.strokes([hair.head.at(band)], hair.band, width=0.10 * hair.u)


def paint_braid(hair: Strands, canvas: Canvas, side: int) -> None:
    """Paint one braid from behind the ear over the shoulder."""
    end = {"short": 1.20}.get(str(hair.length), hair.end)
    spine = curve([[side * 1.20, 0.16], [side * 1.36, 0.65], [side * 1.40, 1.2], [side * 1.38, max(end, 1.6)]],
                  closed=False, steps=20)  # fmt: skip
    spine = spine[spine[:, 1] <= end]
    n = max(4, round((end - 0.1) / 0.20))
    knots = np.stack(
        [np.interp(np.linspace(0, 1, n + 1), np.linspace(0, 1, len(spine)), spine[:, k]) for k in (0, 1)],
        1,
    )
    for k in range(n):
        a, b = knots[k], knots[k + 1]
        w = 0.25 * (1.0 - 0.35 * k / n)
        for hand in (-1, 1):
            lobe = np.array([shift(a, -hand * 0.02, 0.03), shift(a, hand * w * 0.75, -0.12), shift(a, hand * w, 0.0),
                             shift(a, hand * w * 0.80, 0.13), shift(b, -hand * 0.03, 0.11)])  # fmt: skip
            shape = hair.head.at(curve(lobe, steps=5))
            canvas.fill(shape, hair.dark)
            core = lobe.mean(0)
            canvas.fill(hair.head.at(curve(core + (lobe - core) * 0.84, steps=5)), hair.base)
            glow = hair.head.at([shift(a, hand * w * 0.72, 0.0), (a + b) / 2 + [hand * w * 0.25, 0.06]])
            canvas.strokes([glow], hair.lit, width=0.05 * hair.u, blur=0.018 * hair.u, alpha=0.6)
    tip = knots[-1]
    tuft = np.array(
        [
            shift(tip, -0.09, 0.08),
            shift(tip, 0.09, 0.08),
            shift(tip, 0.10, 0.24),
            shift(tip, 0.0, 0.36),
            shift(tip, -0.10, 0.24),
        ]
    )
    canvas.fill(hair.head.at(curve(tuft)), hair.base)
    canvas.disc(hair.head.at([shift(tip, 0, 0.07)])[0], (0.12 * hair.u, 0.07 * hair.u), hair.band)
