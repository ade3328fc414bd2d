"""Draw hair as locks of strands between two edges: straight, wavy or curly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import Canvas, mix, shade

if TYPE_CHECKING:
    from facestats.demo.drawing.head import Head

ENDS = {"short": (0.10, 0.55), "medium": (1.70, 2.10), "long": (3.25, 4.00)}
BANDS = ((214, 60, 70), (60, 110, 200), (240, 200, 80), (50, 50, 56), (120, 190, 120))


class Strands:
    """The strands of one character in one picture: colours, length, and how a lock is painted.

    Parameters
    ----------
    head
        The head with this hair.
    rng
        Source of chance for strands and curls.
    """

    def __init__(self, head: Head, rng: np.random.Generator) -> None:
        look = head.look
        self.head, self.rng, self.u = head, rng, head.u
        self.length, self.style = look.record["hair_length"], look.record["hair_style"]
        self.tied = self.style in {"ponytail", "bun", "braided"}
        low, high = ENDS.get(str(self.length), (0.0, 0.0))
        self.end = low + (high - low) * rng.random()
        self.base, self.streak = look.hair, look.streak
        luminance = float(np.mean(self.base))
        self.dark = shade(self.base, 0.52 if luminance > 60 else 0.35)
        self.lit = shade(self.base, 1.42) if luminance > 60 else self.base + 34.0
        if luminance > 225:  # white hair is drawn by cool shadows
            self.dark = np.array([170, 176, 190], np.float32)
        self.puff = {"curly": 0.27, "wavy": 0.15}.get(str(self.style), 0.11) * look.volume
        if self.tied:
            self.puff = 0.09
        self.over = int(rng.integers(3))  # which shoulders the long hair falls over
        self.phase = rng.uniform(0, 2 * np.pi)
        self.band = BANDS[int(rng.integers(len(BANDS)))]

    def _waves(self, line: np.ndarray, shift: float = 0.0) -> np.ndarray:
        """Add waves to a line, stronger towards its end."""
        step = np.linalg.norm(np.diff(line, axis=0), axis=1)
        run = np.concatenate([[0], np.cumsum(step)])
        swing = 0.095 * np.sin(run * 2 * np.pi / 0.62 + self.phase + shift) * np.clip(run / 0.7, 0, 1)
        tangent = np.gradient(line, axis=0)
        normal = tangent[:, ::-1] * [-1, 1] / np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-6)
        return line + normal * swing[:, None]

    def lock(
        self,
        canvas: Canvas,
        inner: np.ndarray,
        outer: np.ndarray,
        *,
        tone: float = 1.0,
        count: int = 18,
        across: bool = False,
        z: float = 0.15,
    ) -> None:
        """Paint the hair between two edges; strands run along them or, if `across`, from one to the other."""
        if self.style == "wavy" and not across:
            inner, outer = self._waves(_refine(inner)), self._waves(_refine(outer))
        shape = self.head.at(np.vstack([inner, outer[::-1]]), z)
        base, dark, lit = (shade(c, tone) for c in (self.base, self.dark, self.lit))
        canvas.fill(shape, base)
        if self.style == "curly":
            self._curls(canvas, inner, outer, paint=(base, dark, lit, z))
            return
        clip = canvas.mask(shape)
        share = np.sort(self.rng.uniform(0, 1, count))[:, None, None]
        lines = (
            inner + (outer - inner) * share
            if not across
            else np.stack([inner + (outer - inner) * s for s in np.linspace(0, 1, 7)], 1)[
                self.rng.integers(0, len(inner), 2 * count)
            ]
        )
        lines = lines + self.rng.normal(0, 0.010, (len(lines), 1, 2))
        flat = self.head.at(lines.reshape(-1, 2), z).reshape(len(lines), -1, 2)
        order = self.rng.permutation(len(flat))
        dyed = self.head.look.record["hair_color"] == "colorful"
        tints = (
            (dark, 0.030, 0.5, 0),
            (lit, 0.020, 0.45, 1),
            (self.streak * tone, 0.05 if dyed else 0.03, 0.6 if dyed else 0.4, 2),
        )
        for color, width, alpha, k in tints:
            canvas.strokes(
                [flat[i] for i in order[k::3]], color, width=width * self.u, alpha=alpha, clip=clip
            )
        if not across:
            canvas.strokes(
                [flat[0], flat[-1]], dark, width=0.06 * self.u, blur=0.02 * self.u, alpha=0.4, clip=clip
            )

    def _curls(
        self,
        canvas: Canvas,
        inner: np.ndarray,
        outer: np.ndarray,
        *,
        paint: tuple[np.ndarray, np.ndarray, np.ndarray, float],
    ) -> None:
        """Paint curls along the edges and coils between them."""
        base, dark, lit, z = paint
        length = np.linalg.norm(np.diff(outer, axis=0), axis=1).sum() + 1e-6
        rim = np.vstack([_refine(outer, round(length / 0.13)), _refine(inner, round(length / 0.2))])
        t = np.linspace(0, 2 * np.pi, 12)
        ring = np.stack([np.cos(t), np.sin(t)], 1)
        rim = rim + self.rng.normal(0, 0.015, rim.shape)
        lumps = self.head.at((rim[:, None] + 0.095 * ring).reshape(-1, 2), z).reshape(len(rim), -1, 2)
        canvas.fills(list(lumps), base)
        n = int(np.clip(50 * length, 40, 190))
        k = self.rng.integers(0, len(inner), n)
        centre = inner[k] + (outer[k] - inner[k]) * self.rng.uniform(0, 1, (n, 1))
        arc = np.linspace(0, 1.45 * np.pi, 9) + self.rng.uniform(0, 2 * np.pi, (n, 1))
        size = self.rng.uniform(0.06, 0.105, (n, 1))
        coils = centre[:, None] + np.stack([size * np.cos(arc), size * np.sin(arc)], 2)
        flat = self.head.at(coils.reshape(-1, 2), z).reshape(n, -1, 2)
        canvas.strokes(list(flat[::2]), dark, width=0.024 * self.u, alpha=0.6)
        canvas.strokes(list(flat[1::2]), lit, width=0.020 * self.u, alpha=0.45)
        if self.head.look.record["hair_color"] == "colorful":
            canvas.strokes(list(flat[::5]), mix(self.streak, base, 0.2), width=0.03 * self.u, alpha=0.7)


def _refine(line: np.ndarray, count: int = 72) -> np.ndarray:
    """Return `count` points at equal distances along a line."""
    run = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(0, run[-1], max(count, 2))
    return np.stack([np.interp(at, run, line[:, k]) for k in (0, 1)], 1)
