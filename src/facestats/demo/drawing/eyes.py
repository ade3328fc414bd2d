"""Draw the eyes of a character: sockets, lids, irises, lashes, brows and glasses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import Canvas, curve, mix, shade, shift

if TYPE_CHECKING:
    from facestats.demo.drawing.head import Head

SCLERA = (242, 238, 234)


def paint_socket(canvas: Canvas, head: Head, side: int) -> None:
    """Shade the hollow between brow and eye; less of it on a folded lid."""
    look, u = head.look, head.u
    dark = mix(shade(look.skin, 0.55), (90, 40, 40), 0.15)
    depth = 0.55 - 0.22 * look.traits[2] - 0.15 * look.youth + 0.1 * look.masc
    inner = head.smooth([[side * 0.16, -0.28], [side * 0.5, -0.30], [side * 0.85, -0.18], [side * 0.78, 0.02],
                         [side * 0.5, 0.12], [side * 0.2, 0.08]])  # fmt: skip
    canvas.fill(inner, dark, blur=0.07 * u, alpha=depth)
    lid = head.on([[side * 0.53, -0.215]])[0]
    canvas.disc(lid, (0.20 * u, 0.04 * u), shade(look.skin, 1.12), blur=0.03 * u, alpha=0.55)


def _eye_outline(head: Head, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the upper and the lower lid line of one eye, from the inner to the outer corner, in head units."""
    w, h, tilt = head.eye_width / 2, head.eye_height, head.look.traits[1]
    fold = head.look.traits[2]
    along = np.array([-w, -0.62 * w, 0.0, 0.55 * w, w])
    upper = np.array([0.02 + 0.02 * fold, -0.40 * h, -0.60 * h, -0.47 * h - 0.6 * tilt, -tilt])
    lower = np.array([0.02 + 0.02 * fold, 0.27 * h, 0.42 * h, 0.32 * h - 0.4 * tilt, -tilt])
    if head.look.wear > 0.2:  # the outer parts of the lids sink with age
        upper[3] += 0.03 * head.look.wear
    x = side * (0.5 + along)
    return curve(np.stack([x, upper], 1), closed=False), curve(np.stack([x, lower], 1), closed=False)


def paint_eye(canvas: Canvas, head: Head, side: int) -> None:
    """Paint one eye."""
    look, u = head.look, head.u
    up, low = _eye_outline(head, side)
    upper, lower = head.on(up), head.on(low)
    shape = np.vstack([upper, lower[::-1]])
    canvas.fill(shape, SCLERA)
    clip = canvas.mask(shape)
    _iris(canvas, head, side, clip=clip)
    canvas.taper(
        shift(upper, 0, 0.030 * u), (60, 44, 44), width=0.11 * u, blur=0.025 * u, alpha=0.55, clip=clip
    )
    canvas.disc(
        head.on([[side * (0.5 - head.eye_width / 2 + 0.03), 0.02]])[0],
        0.030 * u,
        (214, 132, 124),
        blur=0.01 * u,
        alpha=0.8,
        clip=clip,
    )
    lash = mix((30, 20, 20), look.skin, 0.10)
    girl = float(np.clip(1.15 - 1.25 * look.masc, 0, 1)) * (1 - 0.35 * look.youth)
    liner = 0.035 + 0.045 * girl
    canvas.taper(upper, lash, width=liner * u, ends=(0.35, 0.8))
    canvas.taper(lower, mix(lash, look.skin, 0.35), width=(0.018 + 0.012 * girl) * u, alpha=0.8)
    if girl > 0.3:
        _lashes(canvas, head, up, side=side, girl=girl)
    crease = (
        shift(up, 0, -0.075 - 0.02 * (1 - look.traits[2]))[4:]
        if look.traits[2] < 0.5
        else (shift(up, 0, -0.05))[14:]
    )
    canvas.taper(head.on(crease), shade(look.skin, 0.48), width=0.026 * u, alpha=0.85 - 0.45 * look.traits[2])


def _lashes(canvas: Canvas, head: Head, up: np.ndarray, *, side: int, girl: float) -> None:
    """Paint lashes, longest at the outer corner."""
    u, t = head.u, np.linspace(0.25, 1.0, 9)
    picks = np.clip((t * (len(up) - 1)).astype(int), 0, len(up) - 1)
    lines = []
    for share, k in zip(t, picks, strict=True):
        length = (0.05 + 0.09 * share) * girl
        tip = up[k] + [side * length * (share - 0.35) * 1.2, -length * (1.1 - 0.35 * share)]
        lines.append(head.on(np.array([up[k], (up[k] + tip) / 2 + [side * 0.01, 0.005], tip])))
    canvas.strokes(lines, (26, 18, 20), width=0.018 * u, alpha=0.95)
    if girl > 0.75:
        wing = np.array([up[-4], up[-1], up[-1] + [side * 0.08, -0.06]])
        canvas.taper(head.on(curve(wing, closed=False)), (26, 18, 20), width=0.05 * u, ends=(0.6, 0.05))


def _iris(canvas: Canvas, head: Head, side: int, *, clip: np.ndarray) -> None:
    """Paint iris, pupil and the reflections of light."""
    look, u, s = head.look, head.u, head.scene
    r = look.iris_radius * u
    c = head.on([[side * 0.5 + 0.025 * s.gaze[0], -0.012 + 0.012 * s.gaze[1]]])[0]
    base, name = look.iris, look.record["eye_color"]
    canvas.disc(c, r, shade(base, 0.42), clip=clip)
    canvas.disc(c, 0.90 * r, shade(base, 0.92), blur=0.02 * r, clip=clip)
    if name == "hazel":  # green outside, brown within
        canvas.disc(c, 0.88 * r, (104, 128, 62), blur=0.05 * r, alpha=0.9, clip=clip)
        canvas.disc(c, 0.60 * r, (150, 92, 34), blur=0.10 * r, alpha=0.95, clip=clip)
    t = np.linspace(0, 2 * np.pi, 19)[:-1]
    spokes = [np.array([c + 0.45 * r * d, c + 0.84 * r * d]) for d in np.stack([np.cos(t), np.sin(t)], 1)]
    canvas.strokes(spokes, shade(base, 1.35), width=0.05 * r, alpha=0.35, clip=clip)
    canvas.disc(
        shift(c, 0, 0.42 * r), (0.60 * r, 0.36 * r), shade(base, 1.32), blur=0.14 * r, alpha=0.55, clip=clip
    )
    canvas.disc(c, 0.37 * r, (12, 9, 10), clip=clip)
    glint = c + np.array([-0.34 if s.light < 0 else 0.30, -0.34]) * r
    canvas.disc(glint, 0.20 * r, (255, 255, 255), clip=clip)
    canvas.disc(c + np.array([0.32, 0.42]) * r, 0.10 * r, (255, 255, 255), alpha=0.6, clip=clip)


def paint_brow(canvas: Canvas, head: Head, rng: np.random.Generator, *, side: int) -> None:
    """Paint one eyebrow of hairs."""
    look, u = head.look, head.u
    thick = (0.070 + 0.075 * np.clip(look.masc, 0, 1.1) - 0.015 * look.youth) * look.traits[6]
    arch = (0.105 - 0.075 * look.masc) * look.traits[8]
    y = head.brow_y
    spine = curve([[side * 0.17, y + 0.03], [side * 0.40, y - 0.35 * arch], [side * 0.68, y - arch],
                   [side * 0.94, y + 0.08 - 0.3 * arch]], closed=False, steps=8)  # fmt: skip
    swell = (
        np.interp(np.linspace(0, 1, len(spine)), [0, 0.25, 0.6, 1], [0.7, 1.0, 0.85, 0.15])[:, None]
        * thick
        / 2
    )
    shape = np.vstack([spine - [0, 1] * swell, (spine + [0, 1] * swell)[::-1]])
    canvas.fill(head.on(shape), look.brow, blur=0.012 * u, alpha=0.88)
    k = rng.integers(0, len(spine), 26)
    root = spine[k] + (rng.uniform(-0.8, 0.5, (26, 1)) * [0, 1]) * swell[k]
    tip = root + np.stack([side * rng.uniform(0.05, 0.10, 26), rng.uniform(-0.05, 0.0, 26)], 1)
    ends = head.on(np.vstack([root, tip]))
    canvas.strokes([ends[[i, i + 26]] for i in range(26)], shade(look.brow, 0.7), width=0.012 * u, alpha=0.6)


def paint_glasses(canvas: Canvas, head: Head) -> None:
    """Put on thin round glasses."""
    u, t = head.u, np.linspace(0, 2 * np.pi, 33)
    rims = [
        head.on(np.stack([side * 0.5 + 0.37 * np.cos(t), 0.02 + 0.31 * np.sin(t)], 1), lift=0.05)
        for side in (-1, 1)
    ]
    bridge = head.smooth([[-0.13, -0.02], [0, -0.07], [0.13, -0.02]], closed=False, lift=0.08)
    canvas.strokes([*rims, bridge], (46, 42, 48), width=0.03 * u)
