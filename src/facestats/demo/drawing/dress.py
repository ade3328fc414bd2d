"""Draw casual, formal, uniform and modern dress, and list all six kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import Canvas, curve, mirror, mix, shade
from facestats.demo.drawing.cloth import GOLD, NEON, WHITE, paint_cloth, paint_neck, stripe, tint
from facestats.demo.drawing.costume import fantasy, traditional
from facestats.demo.drawing.figure import Body

if TYPE_CHECKING:
    from facestats.demo.drawing.head import Head


PLAIN = (
    (206, 70, 60),
    (70, 120, 190),
    (88, 150, 96),
    (236, 234, 228),
    (110, 114, 122),
    (230, 180, 80),
    (150, 110, 170),
)
SUITS = ((36, 40, 54), (62, 66, 76), (40, 52, 88), (84, 66, 56), (28, 28, 30))
TIES = ((160, 30, 40), (40, 70, 150), (110, 40, 110), (30, 110, 90), (200, 150, 50))
FORCES = ((38, 52, 96), (122, 112, 76), (66, 84, 58), (96, 116, 142), (150, 40, 44))
SLEEK = ((24, 26, 30), (236, 238, 240), (60, 66, 78), (44, 44, 66))


def casual(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Put on a T-shirt or a hoodie."""
    paint_neck(canvas, body)
    color, n = tint(rng, PLAIN), body.neck
    if rng.random() < 0.4:
        hood = body.at(curve(mirror([[0, 1.7], [n + 0.3, 1.55], [n + 0.75, 1.95], [n + 0.5, 2.4], [0, 2.7]])))
        canvas.fill(hood, shade(color, 0.62))
        paint_neck(canvas, body)
        clip = paint_cloth(canvas, body, color, neckline=[[n + 0.18, 1.95], [n + 0.02, 2.25], [0.0, 2.55]])
        rim = [[n + 0.34, 1.84], [n + 0.20, 2.28], [0.0, 2.62]]
        canvas.strokes([body.at(curve(mirror(rim[::-1])[: len(rim)] * [s, 1], closed=False)) for s in (1, -1)],
                       shade(color, 0.78), width=0.17 * body.u)  # fmt: skip
        stripe(canvas, body, [[0.2, 2.55], [0.23, 3.25]], color=WHITE, width=0.045)
        pocket = body.at(mirror([[0, 3.7], [0.6, 3.72], [0.9, 4.4], [0, 4.4]]))
        canvas.fill(pocket, shade(color, 0.88), clip=clip)
        return
    deep = rng.choice([2.25, 2.6])
    neckline = [[n + 0.20, 2.0], [n * 0.75, deep - 0.08], [0.0, deep + (0.12 if deep > 2.4 else 0.0)]]
    clip = paint_cloth(canvas, body, color, neckline=neckline, sleeves=rng.uniform(3.0, 3.3))
    edge = curve(mirror(neckline[::-1])[: len(neckline)], closed=False)
    canvas.strokes([body.at(edge * [s, 1]) for s in (1, -1)], shade(color, 0.72), width=0.07 * body.u)
    motif = rng.random()
    if motif < 0.35:
        for y in np.arange(2.7, 5.2, 0.34):
            stripe(canvas, body, [[0, y], [3, y]], color=mix(color, WHITE, 0.7), width=0.13, clip=clip)
    elif motif < 0.6:
        other = tint(rng, PLAIN)
        canvas.disc(body.at([0, 3.3]), 0.42 * body.u, other, clip=clip)
        canvas.fill(body.at(curve([[0, 3.0], [0.28, 3.5], [-0.28, 3.5]])), mix(other, WHITE, 0.6), clip=clip)


def formal(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Put on a suit with shirt and tie or bow tie."""
    color, n, u = tint(rng, SUITS), body.neck, body.u
    paint_neck(canvas, body)
    clip = paint_cloth(canvas, body, color, neckline=[[n + 0.22, 1.92], [n * 0.7, 2.1], [0.0, 2.2]])
    shirt = body.at(mirror([[0, 2.05], [n + 0.12, 1.95], [n + 0.22, 2.1], [0.0, 3.75]]))
    canvas.fill(shirt, WHITE)
    canvas.fill(
        body.at(mirror([[0, 2.0], [0.2, 2.05], [0.05, 3.6], [0, 3.7]])), shade(WHITE, 0.9), blur=0.05 * u
    )
    tie = tint(rng, TIES)
    if rng.random() < 0.25:
        for side in (-1, 1):
            canvas.fill(
                body.at([[0, 2.28], [side * 0.36, 2.12], [side * 0.38, 2.48]]), shade(tie, 0.9 + 0.1 * side)
            )
        canvas.disc(body.at([0, 2.29]), 0.08 * u, shade(tie, 0.7))
    else:
        canvas.fill(body.at(mirror([[0, 2.2], [0.14, 2.22], [0.08, 2.42], [0.19, 3.4], [0.0, 3.72]])), tie)
        canvas.fill(body.at(mirror([[0, 2.18], [0.15, 2.2], [0.09, 2.42], [0, 2.42]])), shade(tie, 0.75))
        if rng.random() < 0.5:
            canvas.strokes(
                [body.at([[-0.2, y], [0.2, y + 0.15]]) for y in (2.6, 2.85, 3.1)],
                WHITE,
                width=0.03 * u,
                alpha=0.7,
            )
    for side in (-1, 1):
        collar = np.array([[0.02, 2.22], [n + 0.06, 1.86], [n + 0.20, 1.98], [0.30, 2.52]]) * [side, 1]
        canvas.fill(body.at(collar), shade(WHITE, 0.96))
        canvas.strokes([body.at(collar[[0, 3, 2]])], (150, 152, 160), width=0.02 * u)
        lapel = np.array([[n + 0.16, 1.96], [n + 0.62, 2.30], [n + 0.55, 2.62], [n + 0.72, 2.72], [0.06, 3.85],
                          [0.02, 3.72]]) * [side, 1]  # fmt: skip
        canvas.fill(body.at(lapel), shade(color, 1.13))
        canvas.strokes([body.at(lapel)], shade(color, 0.45), width=0.025 * u)
    canvas.strokes([body.at([[0, 3.75], [0.03, 5.2]])], shade(color, 0.4), width=0.03 * u)
    for y in (4.0, 4.4):
        canvas.disc(body.at([0.1, y]), 0.05 * u, shade(color, 0.4))
    canvas.fill(body.at([[0.72, 3.0], [1.05, 2.94], [1.05, 3.04], [0.72, 3.10]]), WHITE, clip=clip)


def uniform(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Put on a uniform with epaulettes, badges and buttons."""
    paint_neck(canvas, body)
    u, n, s, color = body.u, body.neck, body.shoulder, tint(rng, FORCES)
    clip = paint_cloth(canvas, body, color, neckline=[[n + 0.16, 1.86], [n * 0.7, 2.1], [0.0, 2.22]])
    dark, metal = shade(color, 0.5), GOLD if rng.random() < 0.6 else np.array([206, 210, 218], np.float32)
    if rng.random() < 0.5:
        canvas.fill(body.at(mirror([[0, 2.1], [0.34, 2.1], [0, 2.95]])), WHITE)
        canvas.fill(body.at(mirror([[0, 2.2], [0.1, 2.2], [0.12, 2.8], [0, 2.92]])), (30, 32, 40))
    for side in (-1, 1):
        collar = np.array([[0.03, 2.30], [n + 0.02, 1.80], [n + 0.30, 1.98], [0.42, 2.62]]) * [side, 1]
        canvas.fill(body.at(collar), shade(color, 1.10))
        canvas.strokes([body.at(collar[[0, 3, 2]])], dark, width=0.03 * u)
        canvas.disc(body.at([side * 0.42, 2.34]), 0.06 * u, metal)
        board = np.array(
            [
                [n + 0.30 + 0.25 * (s - n), 2.02],
                [s * 0.97, 2.22],
                [s * 1.0, 2.42],
                [n + 0.26 + 0.25 * (s - n), 2.26],
            ]
        )
        board = board * [side, 1]
        canvas.fill(body.at(board), shade(color, 0.62))
        canvas.strokes([body.at(np.vstack([board, board[:1]]))], metal, width=0.045 * u)
        for t in (0.35, 0.6, 0.85):
            a, b = board[0] + (board[1] - board[0]) * t, board[3] + (board[2] - board[3]) * t
            canvas.strokes([body.at([a + (b - a) * 0.15, a + (b - a) * 0.85])], metal, width=0.05 * u)
        pocket = np.array([[0.45, 2.98], [1.05, 2.98], [1.05, 3.62], [0.45, 3.62]]) * [side, 1]
        canvas.fill(body.at(pocket), shade(color, 0.92), clip=clip)
        canvas.strokes([body.at(np.vstack([pocket, pocket[:1]])), body.at([[side * 0.45, 3.14], [side * 0.75, 3.24],
                       [side * 1.05, 3.14]])], dark, width=0.03 * u, clip=clip)  # fmt: skip
        canvas.disc(body.at([side * 0.75, 3.17]), 0.045 * u, metal, clip=clip)
        patch = body.at([side * (s - 0.12), 2.78])
        canvas.disc(patch, (0.15 * u, 0.19 * u), metal)
        canvas.disc(patch, (0.10 * u, 0.14 * u), shade(color, 0.5))
    canvas.strokes([body.at([[0, 2.7], [0, 5.2]])], dark, width=0.03 * u)
    for y in (2.95, 3.35, 3.75, 4.15):
        canvas.disc(body.at([0.06, y]), 0.06 * u, metal)
    bars = [(200, 50, 50), (60, 90, 180), (230, 200, 70), (70, 150, 80), (240, 240, 240), (120, 60, 140)]
    for k in range(6):  # ribbons over the left pocket
        x, y = 0.50 + 0.18 * (k % 3), 2.74 + 0.11 * (k // 3)
        canvas.fill(
            body.at([[x, y], [x + 0.17, y], [x + 0.17, y + 0.10], [x, y + 0.10]]),
            bars[(k + int(rng.integers(6))) % 6],
        )
    star = [[-0.75 + (0.16 if k % 2 == 0 else 0.08) * np.sin(k * np.pi / 5), 2.80 - (0.16 if k % 2 == 0 else 0.08) *
             np.cos(k * np.pi / 5)] for k in range(10)]  # fmt: skip
    canvas.fill(body.at(star), metal)
    canvas.fill(body.at([[-3, 4.28], [3, 4.28], [3, 4.55], [-3, 4.55]]), (40, 34, 30), clip=clip)
    canvas.fill(body.at([[-0.2, 4.24], [0.2, 4.24], [0.2, 4.58], [-0.2, 4.58]]), metal)


def modern(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Put on a sleek jacket with a slanting zip and lines of light colour."""
    paint_neck(canvas, body)
    u, n, s, color, glow = body.u, body.neck, body.shoulder, tint(rng, SLEEK), tint(rng, NEON)
    bright = float(color.mean()) > 140
    panel = shade(color, 0.55) if bright else shade(color, 1.22)
    clip = paint_cloth(canvas, body, color, neckline=[[n + 0.16, 1.86], [n * 0.7, 1.95], [0.0, 2.0]])
    for side in (-1, 1):
        yoke = np.array([[n + 0.2, 1.9], [s, 2.2], [s, 2.75], [0.75, 2.62]]) * [side, 1]
        canvas.fill(body.at(yoke), panel, clip=clip)
        canvas.fill(
            body.at(np.array([[0.95, 3.2], [3, 3.0], [3, 5.2], [1.1, 5.2]]) * [side, 1]), panel, clip=clip
        )
        canvas.strokes([body.at(yoke[[3, 2]]), body.at(np.array([[0.95, 3.2], [1.1, 5.2]]) * [side, 1])], glow,
                       width=0.055 * u, clip=clip)  # fmt: skip
        sleeve = np.array([[s - 0.02, 2.45], [s + 0.02, 3.2], [s + 0.04, 4.4]]) * [side, 1]
        canvas.strokes([body.at(curve(sleeve, closed=False))], glow, width=0.07 * u)
    collar = curve(
        mirror([[0, 1.86], [n * 0.95, 1.52], [n + 0.20, 1.62], [n + 0.22, 2.0], [0.42, 2.22], [0.0, 2.30]])
    )
    canvas.fill(body.at(collar), shade(color, 0.8) if bright else shade(color, 1.15))
    front = curve(mirror([[0, 1.88], [n * 0.92, 1.58]])[:2], closed=False)
    canvas.strokes([body.at(front * [side, 1]) for side in (-1, 1)], glow, width=0.04 * u)
    lean = 0.55 * (1 if rng.random() < 0.5 else -1)
    zip_line = [[0.0, 2.0], [lean * 0.3, 2.5], [lean, 3.2], [lean * 1.05, 5.2]]
    canvas.strokes([body.at(zip_line)], shade(color, 0.4), width=0.13 * u)
    canvas.strokes([body.at(zip_line)], (206, 210, 216), width=0.05 * u)
    canvas.fill(
        body.at(np.array([[lean - 0.05, 3.2], [lean + 0.05, 3.2], [lean + 0.06, 3.45], [lean - 0.06, 3.45]])),
        (230, 232, 236),
    )
    canvas.strokes(
        [body.at([[-lean * 1.2 - 0.2, 3.55], [-lean * 1.2 + 0.25, 3.42]])], (206, 210, 216), width=0.05 * u
    )
    canvas.disc(body.at([-np.sign(lean) * 0.62, 2.92]), 0.08 * u, glow)
    for side in (-1, 1):
        sheen = body.at(curve([[side * 0.5, 2.3], [side * 0.75, 3.0], [side * 0.6, 3.8]], closed=False))
        canvas.taper(sheen, WHITE, width=0.14 * u, blur=0.07 * u, alpha=0.30, clip=clip)


DRESS = {
    "casual": casual,
    "formal": formal,
    "traditional": traditional,
    "uniform": uniform,
    "fantasy": fantasy,
    "modern": modern,
}


def draw_body(canvas: Canvas, head: Head, *, rng: np.random.Generator) -> None:
    """Paint neck, body and clothes.

    Parameters
    ----------
    canvas
        Painted in place.
    head
        The head above the body.
    rng
        For colours and cuts of cloth.
    """
    body = Body(head)
    DRESS[str(head.look.record["dress"])](canvas, body, rng)
