"""The body of a drawn character: its measures, and where each point of it is in the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import shift

if TYPE_CHECKING:
    from facestats.demo.drawing.canvas import Point, Points
    from facestats.demo.drawing.head import Head


class Body:
    """The body under a head; lengths in interpupillary distances, measured from between the eyes.

    Parameters
    ----------
    head
        The head above; its look gives the build.
    """

    def __init__(self, head: Head) -> None:
        look = head.look
        self.head, self.u, self.look = head, head.u, look
        k = look.bulk
        self.shoulder, self.bust, self.waist, self.hip, self.arm, self.neck = (v * k for v in look.build)
        self.kind = str(look.record["body_type"])
        self.drop = look.chin - 1.62  # a shorter face has higher shoulders
        curvy = self.kind == "curvy"
        self.waist_y, self.hip_y = (3.58, 4.14) if curvy else (3.92, 4.55)
        chin = head.at([[0, look.chin * 0.6]], 0.2)[0]
        self.x = float(chin[0])

    def at(self, points: Point | Points) -> np.ndarray:
        """Convert body points to picture pixels; the body does not turn with the head."""
        p = np.asarray(points, np.float64)
        return (shift(p, 0, self.drop)) * self.u + [self.x, self.head.scene.centre[1]]

    def torso(self) -> np.ndarray:
        """Return the right half of the outline of shoulder and torso, from the neck down."""
        s, n = self.shoulder, self.neck
        trap = {"muscular": 0.20, "slim": -0.06}.get(self.kind, 0.0)
        rounding = 0.10 if self.kind == "heavy" else 0.0
        return np.array([
            [n * 0.96, 1.62],
            [n + 0.14, 1.90 - trap],
            [n + 0.42 * (s - n), 2.12 - 0.7 * trap - rounding * 0.4],
            [s * 0.88, 2.26 - 0.3 * trap],
            [s * 0.95, 2.60],
            [self.bust + 0.04, 2.78],
            [self.bust, 3.12],
            [(self.bust + self.waist) / 2 + (0.05 if self.kind == "heavy" else -0.02), (3.12 + self.waist_y) / 2],
            [self.waist, self.waist_y],
            [self.hip, self.hip_y],
            [self.hip + 0.05, 5.2],
        ])  # fmt: skip

    def sleeve(self, side: int) -> np.ndarray:
        """Return the outline of one arm."""
        s, a = self.shoulder, self.arm
        bulge = 0.15 if self.kind == "muscular" else 0.0
        gap = 0.08 if self.kind == "heavy" else 0.0
        outer = [[s * 0.70, 2.20], [s * 0.93, 2.28], [s + 0.04 + bulge * 0.6, 2.62], [s + 0.10 + bulge, 3.05],
                 [s + 0.12 + gap, 3.60], [s + 0.20 + gap, 4.20], [s + 0.22, 5.2]]  # fmt: skip
        inner = [[s + 0.22 - a * 0.8, 5.2], [s + 0.16 + gap - a * 0.9, 4.2], [s + 0.10 - a, 3.5], [s - a + 0.05, 2.9],
                 [s * 0.66, 2.45]]  # fmt: skip
        return np.array(outer + inner) * [side, 1]
