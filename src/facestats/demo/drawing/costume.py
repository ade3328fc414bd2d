"""Draw folk costume and fantasy armour."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import Canvas, curve, mirror, mix, shade
from facestats.demo.drawing.cloth import GOLD, NEON, WHITE, paint_cloth, paint_neck, tint

if TYPE_CHECKING:
    from facestats.demo.drawing.figure import Body

FOLK = ((168, 34, 40), (34, 60, 120), (30, 96, 70), (70, 40, 90), (40, 36, 40), (206, 140, 40))
METAL = ((172, 178, 190), (196, 160, 92), (120, 126, 142))


def _motifs(
    canvas: Canvas, body: Body, places: np.ndarray, *, colors: list, size: float, clip: np.ndarray
) -> None:
    """Paint diamonds and dots at the given places."""
    for k, (x, y) in enumerate(places):
        color = colors[k % len(colors)]
        diamond = np.array([[x, y - size], [x + size, y], [x, y + size], [x - size, y]])
        canvas.fill(body.at(diamond), color, clip=clip)
        canvas.disc(body.at([x, y]), 0.4 * size * body.u, colors[(k + 1) % len(colors)], clip=clip)


def traditional(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Put on an embroidered folk costume: a vest over a white blouse, or a wrapped robe."""
    paint_neck(canvas, body, low=2.9)
    u, n, main = body.u, body.neck, tint(rng, FOLK)
    threads = [GOLD, WHITE, np.array([210, 50, 50], np.float32), np.array([60, 150, 90], np.float32)]
    threads = [t for t in threads if np.abs(t - main).sum() > 120]
    whole = canvas.mask(np.array([[0, 0], [512, 0], [512, 512], [0, 512]]))
    if rng.random() < 0.5:
        linen = np.array([238, 232, 218], np.float32)
        clip = paint_cloth(canvas, body, linen, neckline=[[n + 0.18, 1.98], [n * 0.7, 2.18], [0.0, 2.28]])
        for side in (-1, 1):
            vest = np.array([[n + 0.42, 2.05], [body.shoulder * 0.80, 2.2], [body.shoulder * 0.82, 3.0], [3, 3.4], [3, 5.2],
                             [0.14, 5.2], [0.16, 3.3], [0.5, 2.7]]) * [side, 1]  # fmt: skip
            canvas.fill(body.at(vest), main, clip=clip)
            rows = np.array([[0.30, y] for y in np.arange(3.2, 5.0, 0.26)]) * [side, 1]
            _motifs(canvas, body, rows, colors=threads, size=0.11, clip=clip)
            canvas.strokes([body.at(vest[[0, 7, 6, 5]])], GOLD, width=0.06 * u, clip=clip)
            flowers = np.array([[0.78, 2.72], [0.95, 3.25], [0.85, 3.8]]) * [side, 1]
            for flower in flowers:
                petals = [flower + 0.11 * np.array([np.cos(a), np.sin(a)]) for a in np.arange(5) * 1.257]
                for petal in petals:
                    canvas.disc(body.at(petal), 0.075 * u, threads[-2], clip=clip)
                canvas.disc(body.at(flower), 0.06 * u, threads[0], clip=clip)
            cuff = np.array([[side * (body.shoulder - 0.3 + 0.13 * k), 2.86 + 0.01 * k] for k in range(4)])
            _motifs(canvas, body, cuff, colors=[main, threads[0]], size=0.075, clip=whole)
        neck = np.array([[x, 2.36 - 0.28 * x * x] for x in np.linspace(-0.55, 0.55, 7)])
        _motifs(canvas, body, neck, colors=[main, threads[0]], size=0.08, clip=clip)
        return
    clip = paint_cloth(canvas, body, main, neckline=[[n + 0.16, 1.92], [n * 0.6, 2.5], [0.0, 3.0]])
    for side, dim in ((1, 0.85), (-1, 1.0)):
        band = [[side * (n + 0.20), 1.90], [side * 0.1, 2.95], [-side * 0.75, 4.1]]
        canvas.strokes([body.at(np.array(band))], shade(threads[0], dim), width=0.32 * u, clip=clip)
        line = np.array(
            [np.array(band[0]) + (np.array(band[2]) - band[0]) * t for t in np.linspace(0.08, 0.9, 9)]
        )
        line[:, 0] += np.interp(np.linspace(0, 1, 9), [0, 0.5, 1], [0, -0.04 * side, 0])
        _motifs(canvas, body, line, colors=[main, threads[1]], size=0.09, clip=clip)
    y = 4.05
    canvas.fill(body.at([[-3, y], [3, y], [3, y + 0.55], [-3, y + 0.55]]), threads[1], clip=clip)
    _motifs(
        canvas,
        body,
        np.array([[x, y + 0.27] for x in np.arange(-2, 2.1, 0.33)]),
        colors=[main, threads[0]],
        size=0.13,
        clip=clip,
    )
    spots = np.array([[s * x, yy] for s in (-1, 1) for x, yy in ((0.85, 2.75), (1.1, 3.3), (0.75, 3.75))])
    _motifs(canvas, body, spots, colors=[threads[0]], size=0.10, clip=clip)
    for side in (-1, 1):
        cuff = np.array([[side * (body.shoulder - 0.32 + 0.15 * k), 3.2] for k in range(4)])
        _motifs(canvas, body, cuff, colors=[threads[0], threads[1]], size=0.08, clip=whole)


def fantasy(canvas: Canvas, body: Body, rng: np.random.Generator) -> None:
    """Put on a cape, a breastplate and shoulder plates."""
    u, n, s = body.u, body.neck, body.shoulder
    cape, metal, gem = tint(rng, FOLK), tint(rng, METAL), tint(rng, NEON)
    for side in (-1, 1):
        back = np.array([[0, 1.9], [s * 0.9, 2.15], [s + 0.55, 3.2], [s + 0.85, 5.3], [0, 5.3]]) * [side, 1]
        canvas.fill(body.at(back), shade(cape, 0.8))
        folds = [
            body.at(
                curve([[side * (s + 0.05 + 0.1 * k), 2.5], [side * (s + 0.25 + 0.2 * k), 5.2]], closed=False)
            )
            for k in range(3)
        ]
        canvas.strokes(folds, shade(cape, 0.45), width=0.07 * u, blur=0.03 * u, alpha=0.8)
    paint_neck(canvas, body)
    under = shade(mix(cape, (60, 50, 46), 0.6), 0.7)
    clip = paint_cloth(canvas, body, under, neckline=[[n + 0.16, 1.90], [n * 0.8, 2.12], [0.0, 2.2]])
    b = body.bust
    half = [
        [0, 2.42],
        [0.45, 2.26],
        [b * 0.80, 2.40],
        [b * 0.98, 2.9],
        [b * 0.98, 3.3],
        [body.waist * 0.94, body.waist_y],
        [0.0, 4.35],
    ]
    plate = body.at(curve(mirror(half), steps=5))
    canvas.fill(plate, shade(metal, 0.5))
    inner = canvas.mask(plate)
    canvas.fill(body.at(curve(mirror(np.array(half) * [0.94, 1] + [0, 0.02]), steps=5)), metal, blur=0.03 * u)
    for side in (-1, 1):
        _armour_side(canvas, body, side, metal=metal, cape=cape, inner=inner)
    rim = body.at(curve(mirror(half), steps=5))
    canvas.strokes([np.vstack([rim, rim[:1]])], GOLD, width=0.06 * u)
    canvas.disc(body.at([0, 2.56]), 0.17 * u, GOLD)
    canvas.disc(body.at([0, 2.56]), 0.11 * u, gem)
    canvas.disc(body.at([-0.04, 2.52]), 0.04 * u, (255, 255, 255), alpha=0.8)
    canvas.fill(body.at([[-3, 4.28], [3, 4.28], [3, 4.6], [-3, 4.6]]), shade(GOLD, 0.5), clip=clip)


def _armour_side(
    canvas: Canvas,
    body: Body,
    side: int,
    *,
    metal: np.ndarray,
    cape: np.ndarray,
    inner: np.ndarray,
) -> None:
    """Paint one half of the breastplate's relief, one shoulder plate and one wing of the collar."""
    u, n, s, b = body.u, body.neck, body.shoulder, body.bust
    canvas.disc(
        body.at([side * 0.55 * b, 2.86]),
        (0.30 * b * u, 0.26 * u),
        shade(metal, 1.6),
        blur=0.12 * u,
        alpha=0.8,
        clip=inner,
    )
    under_chest = body.at(
        curve([[side * 0.05, 3.28], [side * 0.55 * b, 3.38], [side * b * 0.95, 3.08]], closed=False)
    )
    canvas.taper(under_chest, shade(metal, 0.4), width=0.14 * u, blur=0.04 * u, alpha=0.8, clip=inner)
    canvas.taper(body.at(curve([[side * b, 2.5], [side * b * 0.9, 3.3], [side * body.waist, 4.1]], closed=False)),
                 shade(metal, 0.4), width=0.4 * u, blur=0.1 * u, alpha=0.7, clip=inner)  # fmt: skip
    scroll = body.at(
        curve([[side * 0.15, 3.9], [side * 0.5, 3.7], [side * 0.6, 3.45], [side * 0.35, 3.5]], closed=False)
    )
    canvas.strokes([scroll], GOLD, width=0.05 * u, clip=inner)
    for k in range(3):  # plates of the shoulder, the upper one last
        y, r = 2.78 - 0.20 * k, 0.62 - 0.05 * k
        cap = body.at(curve([[side * (s - r), y], [side * (s - 0.45), y - 0.50], [side * (s + 0.05), y - 0.42],
                             [side * (s + 0.30), y + 0.02], [side * (s - 0.1), y + 0.13]]))  # fmt: skip
        canvas.fill(cap, shade(metal, 0.45))
        canvas.fill(cap + (cap.mean(0) - cap) * 0.10, shade(metal, 0.85 + 0.12 * k), blur=0.02 * u)
    canvas.disc(
        body.at([side * (s - 0.10), 2.08]),
        (0.18 * u, 0.08 * u),
        shade(metal, 1.7),
        blur=0.05 * u,
        alpha=0.8,
    )
    collar = body.at(
        curve(
            [
                [side * (n + 0.10), 1.80],
                [side * (n + 0.50), 1.98],
                [side * 0.5, 2.42],
                [side * 0.06, 2.52],
            ]
        )
    )
    canvas.fill(collar, cape)
