"""The head of a drawn character as a solid: where each point of it is in the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.drawing.canvas import curve, mirror

if TYPE_CHECKING:
    from facestats.demo.drawing.canvas import Points
    from facestats.demo.drawing.look import Look, Scene


class Head:
    """A head; its points are in interpupillary distances, measured from between the eyes.

    Parameters
    ----------
    look
        The character.
    scene
        Pose, distance and place in the picture.
    """

    def __init__(self, look: Look, scene: Scene) -> None:
        self.look, self.scene, self.u = look, scene, scene.ipd
        y, youth = look.youth, look.youth
        nose_length = look.traits[4]
        self.eye_width = 0.53 + 0.08 * youth
        self.eye_height = (
            (0.262 + 0.095 * youth - 0.035 * look.wear) * look.traits[0] * (1 - 0.10 * max(scene.smile, 0))
        )
        self.brow_y = -0.40 - 0.05 * (1 - look.masc) - 0.05 * y
        self.nose_y = (0.70 - 0.17 * youth) * nose_length
        self.mouth_y = 1.07 - 0.22 * youth + 0.02 * look.masc
        self.cheek = 1.10 * look.traits[7] + 0.07 * look.fullness + 0.03 * youth
        self.top, self.hairline = -1.52, -1.04

    def at(self, points: Points, z: np.ndarray | float = 0.0) -> np.ndarray:
        """Convert head points, shape (n, 2), at depth `z` towards the viewer, to picture pixels."""
        p = np.atleast_2d(np.asarray(points, np.float64))
        s = self.scene
        z = (
            np.broadcast_to(np.asarray(z, np.float64), len(p)) - 0.9
        )  # relative to the eyes, which do not move
        x = p[:, 0] * np.cos(s.yaw) + z * np.sin(s.yaw)
        y = p[:, 1] * np.cos(s.pitch) - z * np.sin(s.pitch)
        c, k = np.cos(s.roll), np.sin(s.roll)
        return np.stack([c * x - k * y, k * x + c * y], 1) * self.u + s.centre

    def on(self, points: Points, *, lift: float = 0.0) -> np.ndarray:
        """Convert points on the surface of the face, raised by `lift` (for the nose), to picture pixels."""
        p = np.atleast_2d(np.asarray(points, np.float64))
        depth = np.clip(1 - (p[:, 0] / 1.32) ** 2 - ((p[:, 1] - 0.1) / 2.3) ** 2, 0, 1)
        return self.at(p, 1.02 * np.sqrt(depth) + lift)

    def smooth(
        self,
        points: Points,
        *,
        closed: bool = True,
        lift: float = 0.0,
        steps: int = 6,
    ) -> np.ndarray:
        """Return a smooth line through points on the surface of the face, in picture pixels."""
        return self.on(curve(points, closed=closed, steps=steps), lift=lift)

    def jawline(self) -> np.ndarray:
        """Return the right half of the face's outline from the temple to the chin, shape (n, 2)."""
        look, chin = self.look, self.look.chin
        jaw, full = look.jaw, look.fullness
        square = 0.06 * look.masc * (1 - look.youth)
        sag = 0.05 * look.wear
        return np.array([
            [self.cheek * 1.01, -0.52],
            [self.cheek, 0.05],
            [self.cheek * 0.975 + 0.03 * full, 0.42],
            [self.cheek * (0.91 * jaw + 0.03) + 0.06 * full + sag * 0.6, chin * 0.52],
            [self.cheek * (0.76 * jaw - 0.01) + 0.09 * full + square + sag, chin * 0.74],
            [(0.50 * jaw - 0.01) + 0.10 * full + square + sag * 0.5, chin * 0.91],
            [0.24 * jaw + 0.05 * full + square, chin * 0.99],
            [0.0, chin + 0.02 * full],
        ])  # fmt: skip

    def outline(self) -> np.ndarray:
        """Return the outline of the head without hair, in picture pixels."""
        crown = [[0.0, self.top], [0.40, self.top + 0.05], [0.76, self.top + 0.23], [1.0, self.top + 0.55]]
        full = curve(mirror(np.vstack([crown, self.jawline()])), steps=6)
        return self.at(full, 0.12)

    def landmarks(self) -> dict[str, tuple[float, float]]:
        """Return the true positions of eyes, nose, mouth, brows and chin in picture pixels.

        Returns
        -------
        dict
            Name to (x, y); "left" is the left side of the picture.
        """
        w, tilt = self.eye_width / 2, self.look.traits[1]
        half = self.mouth_width()
        lift = -0.07 * self.scene.smile
        named = {
            "left_pupil": (-0.5, 0.0), "right_pupil": (0.5, 0.0),
            "left_eye_outer": (-0.5 - w, -tilt), "left_eye_inner": (-0.5 + w, 0.02),
            "right_eye_inner": (0.5 - w, 0.02), "right_eye_outer": (0.5 + w, -tilt),
            "left_brow": (-0.52, self.brow_y), "right_brow": (0.52, self.brow_y),
            "mouth_left": (-half, self.mouth_y + lift), "mouth_right": (half, self.mouth_y + lift),
            "mouth_centre": (0.0, self.mouth_y), "chin": (0.0, self.look.chin),
        }  # fmt: skip
        places = {name: self.on([point])[0] for name, point in named.items()}
        places["nose_tip"] = self.on([(0.0, self.nose_y - 0.02)], lift=0.22)[0]
        return {name: (float(x), float(y)) for name, (x, y) in places.items()}

    def mouth_width(self) -> float:
        """Return half the width of the mouth."""
        return 0.40 + 0.035 * self.look.masc - 0.05 * self.look.youth + 0.06 * max(self.scene.smile, 0)
