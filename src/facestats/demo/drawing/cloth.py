"""Paint the neck, and cloth over a body: shared by all kinds of dress."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import Canvas, curve, mirror, mix, shade

if TYPE_CHECKING:
    from facestats.demo.drawing.figure import Body

WHITE = np.array([240, 240, 242], np.float32)
GOLD = np.array([222, 178, 70], np.float32)
NEON = ((0, 220, 200), (255, 80, 120), (190, 240, 60), (255, 150, 30), (120, 120, 255))


def paint_neck(canvas: Canvas, body: Body, *, low: float = 2.35) -> None:
    """Paint the neck and the skin down to the collar bones, with the shadow of the chin."""
    skin, n, u = body.look.skin, body.neck, body.u
    wide = min(n + 0.75, 0.66 * body.shoulder)
    half = [
        [0.0, 0.9],
        [n, 0.9],
        [n * 0.97, 1.55],
        [n + 0.16, 1.92],
        [wide, 2.2],
        [wide - 0.15, low + 0.2],
        [0, low + 0.5],
    ]
    shape = body.at(curve(mirror(half)))
    canvas.fill(shape, shade(skin, 0.93))
    clip = canvas.mask(shape)
    chin = body.look.chin - body.drop
    canvas.disc(
        body.at([0, chin - 0.02]),
        (0.75 * u, 0.30 * u),
        shade(skin, 0.5),
        blur=0.10 * u,
        alpha=0.75,
        clip=clip,
    )
    for side in (-1, 1):
        cord = body.at(curve([[side * n * 0.75, 1.5], [side * 0.12, 2.16]], closed=False))
        canvas.taper(cord, shade(skin, 0.72), width=0.07 * u, blur=0.03 * u, alpha=0.5, clip=clip)
        bone = body.at(curve([[side * 0.14, 2.22], [side * 0.45, 2.16], [side * 0.95, 2.20]], closed=False))
        canvas.taper(bone, shade(skin, 0.70), width=0.06 * u, blur=0.025 * u, alpha=0.6, clip=clip)


def paint_cloth(
    canvas: Canvas, body: Body, color: np.ndarray, *, neckline: list, sleeves: float = 9.0
) -> np.ndarray:
    """Paint arms and torso in one cloth; below the height `sleeves` the arms are bare.

    Parameters
    ----------
    canvas
        Painted in place.
    body
        The body to dress.
    color
        Colour of the cloth, 0 to 255.
    neckline
        Right half of the collar's edge from the shoulder to the middle, points (x, y).
    sleeves
        Height below the eyes at which the sleeves end.

    Returns
    -------
    numpy.ndarray
        Mask of the torso, which limits patterns to it.
    """
    u, skin = body.u, body.look.skin
    for side in (-1, 1):
        arm = body.at(curve(body.sleeve(side)))
        bare = sleeves < 5
        canvas.fill(arm, shade(skin, 0.97) if bare else shade(color, 0.93))
        clip = canvas.mask(arm)
        if bare:
            cuff = np.array([[0, 1.5], [4, 1.5], [4, sleeves], [0, sleeves + 0.12]]) * [side, 1]
            canvas.fill(body.at(cuff), color, clip=clip)
            canvas.strokes([body.at(cuff[2:])], shade(color, 0.6), width=0.03 * u, clip=clip, alpha=0.8)
        tone = skin if bare else color
        s = body.shoulder
        inside = body.at(
            curve([[side * (s - body.arm + 0.02), 2.7], [side * (s + 0.1 - body.arm), 5.0]], closed=False)
        )
        canvas.taper(
            inside, shade(tone, 0.5), width=0.36 * u, blur=0.09 * u, alpha=0.6, clip=clip, ends=(0.6, 1)
        )
        if body.kind == "muscular":
            _muscle(canvas, body, side, tone=tone, clip=clip)
    half = body.torso()
    shape = body.at(curve(mirror(np.vstack([np.array(neckline)[::-1], half[2:]]))))
    canvas.fill(shape, color)
    clip = canvas.mask(shape)
    _model_torso(canvas, body, color, clip=clip)
    return clip


def _muscle(canvas: Canvas, body: Body, side: int, *, tone: np.ndarray, clip: np.ndarray) -> None:
    """Paint the highlights and shadows of deltoid and biceps."""
    u, s = body.u, body.shoulder
    canvas.disc(
        body.at([side * (s - 0.22), 2.55]),
        (0.24 * u, 0.22 * u),
        shade(tone, 1.28),
        blur=0.09 * u,
        alpha=0.6,
        clip=clip,
    )
    dent = body.at(
        curve([[side * (s + 0.1), 2.95], [side * (s - 0.25), 3.02], [side * (s - 0.5), 2.88]], closed=False)
    )
    canvas.taper(dent, shade(tone, 0.45), width=0.10 * u, blur=0.03 * u, alpha=0.75, clip=clip)
    canvas.disc(
        body.at([side * (s - 0.20), 3.28]),
        (0.20 * u, 0.24 * u),
        shade(tone, 1.22),
        blur=0.08 * u,
        alpha=0.5,
        clip=clip,
    )


def _model_torso(canvas: Canvas, body: Body, color: np.ndarray, *, clip: np.ndarray) -> None:
    """Shade chest, belly or waist according to the build."""
    u, b = body.u, body.bust
    dark, lit = shade(color, 0.52), shade(color, 1.25)
    for side in (-1, 1):
        edge = body.at(curve([[side * (b + 0.05), 2.6], [side * b, 3.2], [side * body.waist, body.waist_y], [side * body.hip, body.hip_y]],
                             closed=False))  # fmt: skip
        canvas.taper(edge, dark, width=0.42 * u, blur=0.12 * u, alpha=0.6, clip=clip, ends=(0.5, 1.0))
        slope = body.at([side * body.shoulder * 0.66, 2.34])
        canvas.disc(slope, (0.36 * u, 0.10 * u), lit, blur=0.09 * u, alpha=0.4, clip=clip)
        if body.kind == "muscular":
            chest = body.at(
                curve([[side * 0.08, 3.02], [side * 0.6, 3.22], [side * (b - 0.1), 2.98]], closed=False)
            )
            canvas.taper(chest, dark, width=0.15 * u, blur=0.05 * u, alpha=0.85, clip=clip)
            canvas.disc(
                body.at([side * 0.66, 2.78]), (0.46 * u, 0.22 * u), lit, blur=0.13 * u, alpha=0.45, clip=clip
            )
        if body.kind == "curvy":
            under = body.at(
                curve([[side * 0.12, 3.18], [side * 0.66, 3.38], [side * (b - 0.04), 3.06]], closed=False)
            )
            canvas.taper(under, dark, width=0.14 * u, blur=0.06 * u, alpha=0.7, clip=clip)
            canvas.disc(
                body.at([side * 0.66, 2.98]), (0.30 * u, 0.24 * u), lit, blur=0.12 * u, alpha=0.4, clip=clip
            )
        if body.kind == "heavy":
            roll = body.at(curve([[side * 0.2, 3.36], [side * 1.0, 3.34], [side * 1.75, 3.12]], closed=False))
            canvas.taper(roll, dark, width=0.12 * u, blur=0.05 * u, alpha=0.55, clip=clip)
    if body.kind == "heavy":
        canvas.disc(body.at([0, 4.0]), (1.1 * u, 0.5 * u), lit, blur=0.3 * u, alpha=0.4, clip=clip)
    if body.kind in {"slim", "average"}:
        for side in (-1, 1):
            crease = body.at(curve([[side * 0.35, 3.3], [side * 0.62, 3.9]], closed=False))
            canvas.taper(crease, dark, width=0.06 * u, blur=0.03 * u, alpha=0.4, clip=clip)


def stripe(
    canvas: Canvas,
    body: Body,
    points: list,
    *,
    color: np.ndarray | tuple,
    width: float,
    clip: np.ndarray | None = None,
    both: bool = True,
) -> None:
    """Draw a band of cloth along points; if `both`, also its mirror image."""
    for side in (1, -1) if both else (1,):
        line = body.at(np.array(points, np.float64) * [side, 1])
        canvas.strokes([line], color, width=width * body.u, clip=clip)


def tint(rng: np.random.Generator, choices: tuple) -> np.ndarray:
    """Pick a colour and vary it a little."""
    picked = np.asarray(choices[int(rng.integers(len(choices)))], np.float32)
    return np.clip(
        mix(picked, picked * rng.uniform(0.8, 1.15), 1.0) + rng.normal(0, 4, 3).astype(np.float32), 8, 250
    )
