"""Draw the skin of a face: light and shadow, freckles, wrinkles, beard and ears."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import Canvas, curve, mix, shade

if TYPE_CHECKING:
    from facestats.demo.drawing.head import Head


def paint_age_lines(canvas: Canvas, head: Head, rng: np.random.Generator, *, clip: np.ndarray) -> None:
    """Draw wrinkles, bags and folds, the stronger the higher the age."""
    look, u, wear = head.look, head.u, head.look.wear
    if wear <= 0:
        return
    dark = mix(shade(look.skin, 0.45), (90, 50, 44), 0.2)
    for side in (-1, 1):
        fold = [
            [side * 0.30, head.nose_y - 0.10],
            [side * 0.46, head.nose_y + 0.16],
            [side * 0.56, head.mouth_y + 0.06],
        ]
        canvas.taper(
            head.smooth(fold, closed=False),
            dark,
            width=0.050 * u,
            blur=0.012 * u,
            alpha=0.30 + 0.5 * wear,
            clip=clip,
        )
        bag = [[side * 0.26, 0.17], [side * 0.48, 0.27], [side * 0.72, 0.18]]
        canvas.taper(
            head.smooth(bag, closed=False), dark, width=0.050 * u, blur=0.02 * u, alpha=0.25 + 0.45 * wear
        )
        if wear > 0.3:
            feet = [
                np.array([[side * 0.84, -0.02 + 0.05 * k], [side * (0.99 + 0.02 * k), -0.10 + 0.11 * k]])
                for k in range(1 if wear < 0.7 else 0, 2 if wear < 0.7 else 4)
            ]
            canvas.strokes(
                [head.on(line) for line in feet], dark, width=0.016 * u, alpha=0.3 + 0.4 * wear, clip=clip
            )
        if wear > 0.7:
            cheek = [[side * 0.66, 0.55], [side * 0.78, 0.85], [side * 0.70, 1.10]]
            canvas.taper(
                head.smooth(cheek, closed=False), dark, width=0.045 * u, blur=0.02 * u, alpha=0.55, clip=clip
            )
            jowl = [[side * 0.42, head.mouth_y + 0.10], [side * 0.50, head.mouth_y + 0.32]]
            canvas.taper(
                head.smooth(jowl, closed=False), dark, width=0.04 * u, blur=0.012 * u, alpha=0.6, clip=clip
            )
    for k in range(2 if wear < 0.7 else 4):
        y = -0.62 - 0.105 * k + rng.uniform(-0.015, 0.015)
        line = head.smooth([[-0.55, y + 0.03], [-0.2, y], [0.2, y + 0.01], [0.55, y + 0.03]], closed=False)
        canvas.taper(line, dark, width=0.026 * u, blur=0.006 * u, alpha=0.25 + 0.45 * wear, clip=clip)
    frown = [head.on(np.array([[side * 0.07, -0.42], [side * 0.08, -0.25]])) for side in (-1, 1)]
    canvas.strokes(frown, dark, width=0.018 * u, alpha=0.25 + 0.4 * wear)


def paint_freckles(canvas: Canvas, head: Head, rng: np.random.Generator, *, clip: np.ndarray) -> None:
    """Draw freckles, age spots or acne on some faces."""
    look, u = head.look, head.u
    spots = rng.normal(0, 1, (26, 2)) * [0.42, 0.13] + [0, 0.42]
    if look.extras["freckles"] < 0.12 and look.wear == 0:
        for spot in head.on(spots):
            canvas.disc(spot, 0.014 * u, shade(look.skin, 0.62), alpha=0.6, clip=clip)
    if look.wear > 0.7:  # spots of age
        for spot in head.on(spots[:7] * [1.4, 3.0] + [0, -0.2]):
            canvas.disc(
                spot, 0.035 * u, mix(look.skin, (110, 70, 50), 0.45), blur=0.012 * u, alpha=0.6, clip=clip
            )
    if 0.3 < look.youth < 0.75:
        for spot in head.on(spots[:5] * [1.3, 1.6] + [0, 0.15]):
            canvas.disc(
                spot, 0.022 * u, mix(look.skin, (206, 70, 66), 0.6), blur=0.006 * u, alpha=0.7, clip=clip
            )


def paint_beard(canvas: Canvas, head: Head, rng: np.random.Generator, *, clip: np.ndarray) -> None:
    """Draw stubble (1), a full beard (2) or a moustache and chin beard (3)."""
    look, u, y = head.look, head.u, head.mouth_y
    jaw = head.jawline()
    rim = jaw[2 if look.beard < 3 else 5 :]
    inner = [[0.0, y + 0.36], [0.26, y + 0.22], [0.50, y - 0.02], [0.78, 0.62]] if look.beard < 3 else \
        [[0.0, y + 0.28], [0.22, y + 0.26]]  # fmt: skip
    right = np.vstack([rim, inner])
    left = right * [-1, 1]
    lip = [[-0.44, y + 0.08], [-0.36, y - 0.12], [0, y - 0.24], [0.36, y - 0.12], [0.44, y + 0.08], [0.2, y - 0.09],
           [-0.2, y - 0.09]]  # fmt: skip
    shapes = [head.smooth(right), head.smooth(left), head.smooth(lip)]
    tone = mix(look.brow, look.skin, 0.35) if look.beard == 1 else look.brow
    for shape in shapes:
        canvas.fill(
            shape,
            tone,
            blur=(0.06 if look.beard == 1 else 0.035) * u,
            alpha=0.42 if look.beard == 1 else 0.9,
            clip=clip,
        )
    n = 260 if look.beard == 1 else 170
    area = canvas.mask(*shapes)
    root = np.stack([rng.uniform(-1.0, 1.0, n), rng.uniform(y - 0.4, look.chin, n)], 1)
    long = 0.022 if look.beard == 1 else 0.09
    tip = root + np.stack([rng.uniform(-0.4, 0.4, n) * long, np.full(n, long)], 1)
    ends = head.on(np.vstack([root, tip]))
    lines = [ends[[i, i + n]] for i in range(n)]
    canvas.strokes(lines[::2], shade(look.brow, 0.7), width=0.009 * u, alpha=0.5, clip=np.minimum(area, clip))
    canvas.strokes(
        lines[1::2], shade(look.brow, 1.25), width=0.015 * u, alpha=0.5, clip=np.minimum(area, clip)
    )


def paint_ears(canvas: Canvas, head: Head) -> None:
    """Paint both ears behind the face."""
    skin, u = head.look.skin, head.u
    for side in (-1, 1):
        ear = np.array([[1.04, -0.16], [1.22, -0.20], [1.30, 0.02], [1.24, 0.30], [1.12, 0.52], [1.02, 0.45]])
        ear[:, 0] += head.cheek - 1.10
        canvas.fill(head.at(curve(ear * [side, 1]), -0.1), shade(skin, 0.90))
        inner = np.array([[1.10, -0.06], [1.20, -0.06], [1.21, 0.10], [1.14, 0.26], [1.09, 0.20]])
        canvas.fill(head.at(curve(inner * [side, 1]), -0.1), shade(skin, 0.70), blur=0.02 * u, alpha=0.7)
        if head.look.masc < 0.75 and head.look.youth < 0.8 and head.look.extras["earring"] < 0.4:
            spot = head.at([[side * (1.13 + head.cheek - 1.10), 0.52]], -0.05)[0]
            canvas.disc(spot, 0.045 * u, (236, 210, 120))
            canvas.disc(spot - 0.012 * u, 0.015 * u, (255, 250, 230))


def paint_shading(canvas: Canvas, head: Head, clip: np.ndarray) -> None:
    """Paint the soft highlights and shadows of the face."""
    look, u, light = head.look, head.u, head.scene.light
    skin = look.skin
    dark, lit, blush = shade(skin, 0.66), shade(skin, 1.35), mix(skin, (214, 84, 74), 0.5)
    for side in (-1, 1):
        strength = 0.42 + 0.30 * (-side * light)
        edge = [[side * 1.35, -1.3], [side * 0.98, -0.7], [side * 1.0, 0.1], [side * 0.86, 0.75], [side * 0.5, 1.35],
                [side * 0.4, 2.2], [side * 1.6, 2.0]]  # fmt: skip
        canvas.fill(head.at(curve(edge), 0.3), dark, blur=0.16 * u, alpha=strength, clip=clip)
        cheek = head.on([[side * 0.66, 0.52]])[0]
        canvas.disc(
            cheek,
            (0.30 * u, 0.20 * u),
            blush,
            blur=0.12 * u,
            clip=clip,
            alpha=0.20 + 0.16 * look.youth + 0.10 * (look.masc < 0.3),
        )
        canvas.disc(
            head.on([[side * 0.60, 0.33]])[0] + [light * 3, 0],
            (0.20 * u, 0.10 * u),
            lit,
            blur=0.08 * u,
            alpha=0.30,
            clip=clip,
        )
    canvas.disc(
        head.on([[0.15 * light, -0.72]])[0], (0.46 * u, 0.22 * u), lit, blur=0.18 * u, alpha=0.42, clip=clip
    )
    canvas.disc(
        head.on([[0.05 * light, head.look.chin - 0.17]])[0],
        (0.16 * u, 0.09 * u),
        lit,
        blur=0.06 * u,
        alpha=0.4,
        clip=clip,
    )
    under_lip = head.on([[0, head.mouth_y + 0.235]])[0]
    canvas.disc(under_lip, (0.22 * u, 0.05 * u), dark, blur=0.05 * u, alpha=0.55, clip=clip)
    if look.fullness > 0.6:  # a fold under a heavy chin
        fold = head.smooth(
            [[-0.55, look.chin - 0.14], [0, look.chin + 0.0], [0.55, look.chin - 0.14]], closed=False
        )
        canvas.taper(fold, shade(skin, 0.6), width=0.06 * u, blur=0.02 * u, alpha=0.7, clip=clip)
