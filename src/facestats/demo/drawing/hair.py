"""Draw the hair of a character: loose (straight, wavy, curly) or tied (ponytail, bun, braids)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from facestats.demo.drawing.canvas import Canvas, curve, shade
from facestats.demo.drawing.strands import Strands
from facestats.demo.drawing.tied_hair import paint_braid, paint_bun, paint_tail


class Hair(Strands):
    """The hair of one character in one picture."""

    def back(self, canvas: Canvas) -> None:
        """Paint what hangs behind neck and shoulders."""
        if self.length == "bald":
            return
        loose = not self.tied or (self.style == "bun" and self.length != "short")
        end = self.end if loose else 0.45
        wide = 1.22 + self.puff + (0.16 if self.style == "curly" else 0.0)
        if end < 1.0:
            half = [
                [0.0, -1.3],
                [0.9, -1.0],
                [1.10 + self.puff * 0.4, -0.3],
                [1.06, 0.3],
                [0.72, max(end, 0.3) + 0.55],
            ]
        else:
            half = [[0.0, -1.3], [0.95, -1.0], [wide, -0.2], [wide + 0.10, 0.8], [wide + 0.16, min(end, 1.8)],
                    [wide + 0.05, end * 0.97], [0.6, end]]  # fmt: skip
        for side in (-1, 1):
            outer = curve(np.array(half) * [side, 1], closed=False)
            inner = np.stack([np.zeros(len(outer)), outer[:, 1]], 1)
            self.lock(canvas, inner, outer, tone=0.72, count=16)

    def front(self, canvas: Canvas) -> None:
        """Paint what lies over head, forehead and shoulders."""
        if self.length == "bald":
            return
        if self.style == "bun":
            paint_bun(self, canvas)
        self._cast_shadow(canvas)
        if self.tied:
            self._cap(canvas)
        else:
            self._loose(canvas)
        if self.style == "ponytail":
            paint_tail(self, canvas)
        elif self.style == "braided":
            for side in (-1, 1):
                paint_braid(self, canvas, side)
        elif self.style == "bun" and self.length != "short":
            for side in (-1, 1):
                low = self._falls_to(side)
                inner = curve(
                    [[side * 1.00, -0.1], [side * 1.02, 0.6], [side * 1.03, 1.3], [side * 1.06, low]],
                    closed=False,
                )
                outer = curve(
                    [[side * 1.16, -0.3], [side * 1.34, 0.6], [side * 1.44, 1.3], [side * 1.36, low]],
                    closed=False,
                )
                self.lock(canvas, inner, outer, count=12)

    def _falls_to(self, side: int) -> float:
        """Return how far down the lock of one side reaches in front; at least one side shows the whole length."""
        shown = self.over == 2 or (self.over == 0) == (side < 0)
        return self.end if shown or self.end < 2.5 else 1.9

    def _loose(self, canvas: Canvas) -> None:
        """Paint loose hair: one lock from the parting down each side, and a fringe on some characters."""
        look, top, p = self.head.look, self.head.top, self.puff
        part, line = look.part, self.head.hairline
        short = self.length == "short"
        for side in (-1, 1):
            end = self._falls_to(side)
            if short and look.masc > 0.7:
                end = min(end, 0.22)
            inner = [
                [part, line - 0.06],
                [side * 0.50, line + 0.10],
                [side * 0.84, -0.62],
                [side * 0.99, -0.12],
            ]
            outer = [
                [part, top - p],
                [side * 0.62, top + 0.05 - p],
                [side * (1.02 + p), -0.92],
                [side * (1.16 + p), -0.2],
            ]
            if short:
                inner += [[side * 1.03, end - 0.10]]
                outer += [[side * (1.15 + 0.8 * p), end]]
            else:
                inner += [
                    [side * 1.02, 0.5],
                    [side * 0.99, 1.2],
                    [side * 1.04, min(1.8, end)],
                    [side * 1.12, end + 0.02],
                ]
                outer += [[side * (1.26 + p), 0.6], [side * (1.34 + p), 1.2], [side * (1.38 + p), min(1.8, end)],
                          [side * (1.28 + 0.6 * p), end]]  # fmt: skip
            self.lock(
                canvas, curve(inner, closed=False, steps=7), curve(outer, closed=False, steps=7), count=26
            )
        if look.fringe == 0 and look.wear < 0.9:
            root = curve([[-0.80, -0.95], [part * 0.6, self.head.top + 0.10], [0.80, -0.95]], closed=False)
            tips = curve([[-0.86, -0.46], [-0.3, -0.60], [0.35, -0.58], [0.88, -0.44]], closed=False)
            tips = np.stack([np.interp(np.linspace(0, 1, len(root)), np.linspace(0, 1, len(tips)), tips[:, k]) for k in
                             (0, 1)], 1)  # fmt: skip
            self.lock(canvas, root, tips, count=24, across=True, z=0.75)
        elif look.fringe == 1:
            s = look.side
            lower = curve([[part, line - 0.12], [s * 0.45, line + 0.30], [s * 0.92, -0.40]], closed=False)
            upper = curve([[part, top - p * 0.6], [s * 0.75, top + 0.34], [s * 1.10, -0.45]], closed=False)
            self.lock(canvas, lower, upper, count=14, z=0.5)
        self._shine(canvas)

    def _cap(self, canvas: Canvas) -> None:
        """Paint hair that is combed back, and the rows of braids."""
        top, line, p = self.head.top, self.head.hairline, self.puff
        for side in (-1, 1):
            inner = curve([[0, line], [side * 0.50, line + 0.05], [side * 0.84, -0.66], [side * 0.97, -0.18],
                           [side * 1.06, 0.10]], closed=False, steps=7)  # fmt: skip
            outer = curve([[0, top - p], [side * 0.56, top + 0.08 - p], [side * (0.98 + p), -0.98],
                           [side * (1.13 + p), -0.4], [side * 1.18, 0.10]], closed=False, steps=7)  # fmt: skip
            self.lock(canvas, inner, outer, count=22, across=self.style != "braided")
        if self.style == "braided":
            ends = [
                [[x * 0.9, line + 0.02 + 0.2 * x * x], [x * 1.05, top + 0.16 + 0.2 * x * x]]
                for x in np.linspace(-0.78, 0.78, 7)
            ]
            rows = [self.head.at(curve(pair, closed=False, steps=9), 0.4) for pair in ends]
            canvas.strokes(rows, self.dark, width=0.05 * self.u, alpha=0.8)
            for row in rows[:-1]:
                beads = row[::2] + (rows[1][0] - rows[0][0]) * 0.5
                for a, b in pairwise(beads):
                    canvas.disc(
                        (a + b) / 2, (0.085 * self.u, 0.045 * self.u), self.lit, blur=0.02 * self.u, alpha=0.4
                    )
        self._shine(canvas)

    def _cast_shadow(self, canvas: Canvas) -> None:
        """Darken the forehead under the hairline."""
        y = self.head.hairline
        line = self.head.at(curve([[-1.0, -0.2], [-0.84, -0.6], [-0.4, y + 0.12], [0.4, y + 0.12], [0.84, -0.6],
                                   [1.0, -0.2]], closed=False), 0.5)  # fmt: skip
        canvas.strokes(
            [line], shade(self.head.look.skin, 0.5), width=0.12 * self.u, blur=0.06 * self.u, alpha=0.5
        )

    def _shine(self, canvas: Canvas) -> None:
        """Paint a soft band of light over the crown."""
        x = 0.35 * self.head.scene.light
        arc = curve(
            [[x - 0.62, self.head.top + 0.36], [x, self.head.top + 0.18], [x + 0.62, self.head.top + 0.36]],
            closed=False,
        )
        canvas.taper(self.head.at(arc, 0.4), self.lit, width=0.20 * self.u, blur=0.07 * self.u, alpha=0.35)
