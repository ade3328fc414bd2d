"""Small stand-ins: drawn faces and models without weights, for tests and examples.

They implement the protocols of `core.protocols`, are deterministic, and need no download.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from facestats.core.protocols import Face
from facestats.core.tables import N_LANDMARKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

TONES = {"dark": (120, 80, 60), "medium": (200, 160, 130), "light": (240, 210, 190)}
# where draw_faces puts what alignment looks at: FaceMesh point number -> x, y
_POINTS = {
    33: (108, 142),
    133: (132, 142),
    362: (188, 142),
    263: (212, 142),
    468: (120, 142),
    473: (200, 142),
}
_POINTS |= {1: (160, 190), 2: (160, 198), 61: (130, 230), 291: (190, 230), 10: (160, 45), 152: (160, 285)}


def draw_faces(folder: Path, *, n: int = 12, seed: int = 0) -> None:
    """Draw `n` cartoon faces of 320 x 320 pixels in three skin tones below `folder`."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        image = Image.new("RGB", (320, 320), tuple(rng.integers(0, 80, 3).tolist()))
        pen = ImageDraw.Draw(image)
        pen.ellipse((60, 40, 260, 290), fill=list(TONES.values())[i % 3])
        for x in (120, 200):
            pen.ellipse((x - 12, 130, x + 12, 154), fill=(20, 20, 20))
        pen.rectangle((130, 225, 190, 235), fill=(150, 30, 40))
        image.save(folder / f"face_{i:03d}.png")


class FakeLandmarker:
    """Finds the one face that `draw_faces` drew; finds none in a picture of one colour."""

    name = "fake-landmarks@1"

    def find(self, pixels: NDArray[np.uint8]) -> list[Face]:
        """Return the drawn face."""
        if pixels.min() == pixels.max():
            return []
        rng = np.random.default_rng(0)  # the other points of the mesh: anywhere inside the face
        points = rng.uniform((90, 80), (230, 260), size=(N_LANDMARKS, 2)).astype(np.float32)
        points[list(_POINTS)] = list(_POINTS.values())
        depth = np.zeros(N_LANDMARKS, dtype=np.float32)
        return [Face(points, depth, (60.0, 40.0, 260.0, 290.0), 1.0, self.name)]


class FakeEncoder:
    """Mean colour for pictures, hashed noise for texts."""

    name = "fake-clip@1"
    dim = 8
    input_side = 16
    logit_scale = 100.0

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """Shrink to 16 x 16 pixels."""
        return np.asarray(image.resize((16, 16)), dtype=np.uint8)

    def encode_images(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the mean colour, padded and scaled to length one."""
        means = pixels.astype(np.float32).mean(axis=(1, 2)) / 255
        return _unit(np.pad(means, ((0, 0), (0, self.dim - 3)), constant_values=0.1))

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a vector that depends on the text alone."""
        return _unit(np.stack([_noise(t, self.dim) for t in texts]))


class FakeTextClassifier:
    """Entailment where the text holds every content word of the hypothesis."""

    name = "fake-nli@1"

    def score(self, texts: Sequence[str], hypotheses: Sequence[str]) -> NDArray[np.float32]:
        """Return logits of contradiction and entailment, (n_texts, n_hypotheses, 2)."""
        skipped = {"the", "person", "is", "has", "a", "an", "wears", "hair", "eyes", "clothes"}
        out = np.zeros((len(texts), len(hypotheses), 2), dtype=np.float32)
        for i, text in enumerate(texts):
            words = set(text.lower().replace(".", " ").replace(",", " ").split())
            for j, hypothesis in enumerate(hypotheses):
                wanted = set(hypothesis.lower().rstrip(".").split()) - skipped
                out[i, j] = (-2, 2) if wanted <= words else (2, -2)
        return out


def _noise(text: str, dim: int) -> NDArray[np.float32]:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")
    return np.random.default_rng(seed).random(dim, dtype=np.float32)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
