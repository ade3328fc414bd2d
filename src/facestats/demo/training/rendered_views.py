"""Render characters as the inputs of a small picture tower: the whole picture and the aligned face."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np

from facestats.demo.drawing.character import SIZE, paint_character
from facestats.demo.records import sample_records
from facestats.pictures.geometry import fit_similarity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CROPS = 2  # randomly shifted crops of each picture
NAMES = (
    "left_eye_outer", "left_eye_inner", "right_eye_inner", "right_eye_outer", "nose_tip", "mouth_left", "mouth_right",
)  # fmt: skip
# positions of those points in an adult face, in interpupillary distances from between the pupils
FACE = np.array([[-0.75, 0], [-0.26, 0.03], [0.26, 0.03], [0.75, 0], [0, 0.68], [-0.42, 1.06], [0.42, 1.06]])


def cut_face(
    pixels: np.ndarray,
    landmarks: Mapping[str, tuple[float, float]],
    *,
    jitter: np.random.Generator | None = None,
) -> np.ndarray:
    """Cut out the upright face, 512 x 512 pixels, with the pupils near x = 256 -/+ 58, y = 246.

    Parameters
    ----------
    pixels
        uint8 RGB.
    landmarks
        True landmarks of the drawing.
    jitter
        Source of small random shifts, turns and changes of scale, like those of an imperfect detector; None for an
        exact cut.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (512, 512, 3).
    """
    source = np.array([landmarks[name] for name in NAMES])
    target = FACE.copy()
    if jitter is not None:
        source = source + jitter.normal(0, 0.012 * np.ptp(source[:, 0]), source.shape)
        target = target * jitter.uniform(0.96, 1.05) + jitter.normal(0, 0.02, 2)
        if jitter.random() < 0.4:  # aligned by the eyes alone
            source, target = source[:4], target[:4]
    place = np.array([SIZE / 2, 0.48 * SIZE])
    matrix = fit_similarity(source, target * 116 + place)
    return cv2.warpAffine(
        pixels, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def _shrink(pixels: np.ndarray, size: int) -> np.ndarray:
    """Resize as the preprocessing of the model does."""
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC))


def _move(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Zoom and shift a whole picture slightly."""
    scale = rng.uniform(0.97, 1.08)
    shift = SIZE / 2 * (1 - scale) + rng.uniform(-14, 14, 2)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return cv2.warpAffine(
        pixels, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )


def render_views(
    folder: Path, *, n: int, seed: int, size: int, style: str = "train", chunk: int = 250
) -> None:
    """Render characters in both views to arrays on disk, in chunks; finished chunks are not rendered again.

    Parameters
    ----------
    folder
        `faces_000.npy`, `pictures_000.npy` (uint8, shape (chunk, CROPS, size, size, 3)) and `records_000.json` of
        each chunk are written there.
    n
        Number of characters.
    seed
        Seed of records and drawings.
    size
        Side of the model's input, in pixels.
    style
        "train" shifts the cuts randomly; "eval" cuts exactly.
    chunk
        Characters in one file.
    """
    cv2.setNumThreads(1)
    folder.mkdir(parents=True, exist_ok=True)
    records = sample_records(n, seed=seed, style=style)
    for start in range(0, n, chunk):
        done = folder / f"records_{start // chunk:03d}.json"
        if done.exists():
            continue
        faces, pictures = [], []
        for k, record in enumerate(records[start : start + chunk], start):
            rng = np.random.default_rng([seed, 5, k]) if style == "train" else None
            pixels, landmarks, _ = paint_character(record, seed=seed * 1_000_003 + k, style=style)
            faces.append([_shrink(cut_face(pixels, landmarks, jitter=rng), size) for _ in range(CROPS)])
            wholes = [_move(pixels, rng) if rng is not None and crop else pixels for crop in range(CROPS)]
            pictures.append([_shrink(whole, size) for whole in wholes])
        np.save(folder / f"faces_{start // chunk:03d}.npy", np.array(faces))
        np.save(folder / f"pictures_{start // chunk:03d}.npy", np.array(pictures))
        done.write_text(json.dumps(records[start : start + chunk]), encoding="utf-8")


def load_views(folder: Path) -> tuple[np.ndarray, np.ndarray, list[dict[str, str | None]]]:
    """Load all finished chunks of a folder.

    Parameters
    ----------
    folder
        As written by `render_views`.

    Returns
    -------
    tuple
        Faces and pictures, uint8 of shape (n, CROPS, size, size, 3), and their records.
    """
    done = sorted(folder.glob("records_*.json"))
    tails = [path.stem.removeprefix("records") for path in done]
    faces = np.concatenate([np.load(folder / f"faces{tail}.npy") for tail in tails])
    pictures = np.concatenate([np.load(folder / f"pictures{tail}.npy") for tail in tails])
    return (
        faces,
        pictures,
        [record for path in done for record in json.loads(path.read_text(encoding="utf-8"))],
    )
