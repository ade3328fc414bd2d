"""Measure warped averages of 100 and of 10,000 crops: peak memory, and faces per second on one core.

The crops are JPEGs of 512 x 512 pixels on disk, as stage 01 writes them. 100 drawn heads are used again and again, each time
with other landmarks, so that every face is decoded, unfolded and warped. Each average runs in its own process on one core.
Two exact properties are checked too: the average of one face is that face, and a symmetric average is its own mirror
image.

    python benchmarks/warp.py --n 10000

The result goes to benchmarks/results/ as Markdown and JSON, with date, git revision, machine and versions.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common import describe_machine, keep
from PIL import Image, ImageDraw

import facestats as fs

SIDE = 512
PICTURES = 100
FEW = 100
MIN_RATE = 60  # faces a second on one core
MAX_GROWTH = (
    1.1  # of the peak memory from few to many faces; copies of all crops would take 100 times as much
)
PACKAGES = ("numpy", "opencv-contrib-python", "scipy", "pillow", "polars")


def draw_crops(folder: Path, *, seed: int = 0) -> None:
    """Draw heads with grain; their files are about as large as photographs."""
    rng = np.random.default_rng(seed)
    for i in range(PICTURES):
        image = Image.new("RGB", (SIDE, SIDE), tuple(rng.integers(60, 200, 3).tolist()))
        pen = ImageDraw.Draw(image)
        pen.ellipse((110, 60, 402, 460), fill=tuple(rng.integers(120, 230, 3).tolist()))
        for x in (188, 304):
            pen.ellipse((x - 18, 236, x + 18, 256), fill=(30, 30, 30))
        pen.ellipse((206, 370, 306, 392), fill=(150, 60, 60))
        grain = rng.normal(0, 3, (SIDE, SIDE, 1))
        pixels = np.clip(np.asarray(image) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:03d}.jpg", quality=95)


def list_faces(landmarks: np.ndarray, *, n: int, seed: int = 0) -> pl.DataFrame:
    """Return rows of the faces table: real landmarks, moved a little for each face."""
    rng = np.random.default_rng(seed)
    points = landmarks + rng.normal(0, 1.5, (n, *landmarks.shape))
    return pl.DataFrame(
        {
            "image_id": [f"{i:06d}.jpg" for i in range(n)],
            "crop": [f"{i % PICTURES:03d}.jpg" for i in range(n)],
            "landmarks": pl.Series(points.astype(np.float32), dtype=pl.Array(pl.Float32, landmarks.shape)),
            "matrix": pl.Series(
                np.tile([[1.0, 0, 0], [0, 1, 0]], (n, 1, 1)), dtype=pl.Array(pl.Float64, (2, 3))
            ),
        }
    )


def mean_landmarks(folder: Path) -> np.ndarray:
    """Return the landmarks that FaceMesh finds in a drawn character, in pixels of its crop, (478, 2)."""
    from facestats.core.config import FacesSettings
    from facestats.demo.gallery import write_gallery
    from facestats.pictures.geometry import transform_points

    write_gallery(folder / "raw", n=4, seed=0)
    images = fs.list_images(folder / "raw")
    faces = fs.align_faces(images, fs.models.landmarker(FacesSettings()), folder / "aligned", workers=1)
    row = faces.drop_nulls("landmarks").row(0, named=True)
    return transform_points(np.array(row["landmarks"]), np.array(row["matrix"]))


def measure(table: Path, crops: Path, n: int) -> dict[str, float]:
    """Average `n` faces on one core; return the rates by wall clock and processor, and the peak memory."""
    faces = pl.read_parquet(table, n_rows=n)
    fs.average_faces(faces.head(2), crops, method="warp", min_faces=1)  # loads the libraries
    start, worked = time.perf_counter(), time.process_time()
    average = fs.average_faces(faces, crops, method="warp")
    seconds, processor = time.perf_counter() - start, time.process_time() - worked
    mirrored = fs.composites.mirror(average)
    assert np.array_equal(mirrored.pixels, mirrored.pixels[:, ::-1])
    one = fs.average_faces(faces.head(1), crops, method="warp", min_faces=1)
    assert np.array_equal(one.pixels, np.asarray(Image.open(crops / faces["crop"][0])))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    rates = {"faces a second": n / seconds, "per processor second": n / processor}
    return rates | {"peak MiB": peak, "table MiB": faces.estimated_size("mb")}


def alone(*args: Any) -> dict[str, float]:
    """Run :func:`measure` in its own process on one core."""
    with get_context("spawn").Pool(1, initializer=_bind) as pool:
        return pool.apply(measure, args)


def _bind() -> None:
    import cv2

    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main() -> None:
    """Measure, print and store the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=10_000)
    args = parser.parse_args()
    facts = describe_machine(PACKAGES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        crops = folder / "crops"
        crops.mkdir()
        draw_crops(crops)
        table = folder / "faces.parquet"
        list_faces(mean_landmarks(folder), n=args.n).write_parquet(table, row_group_size=FEW)
        runs = {n: alone(table, crops, n) for n in (FEW, args.n)}
    few, many = (run["peak MiB"] - run["table MiB"] for run in runs.values())
    rate = runs[args.n]["per processor second"]
    lines = [
        "# Warping faces",
        "",
        "; ".join(f"{k}: {v}" for k, v in facts.items()),
        "",
        f"Crops of {SIDE} x {SIDE}, JPEG on disk, one core, including decoding.",
        "",
        "| faces | faces a second | faces per processor second | peak MiB | table of landmarks, MiB |",
        "|--|--|--|--|--|",
        *(f"| {n:,} | {' | '.join(f'{v:.0f}' for v in run.values())} |" for n, run in runs.items()),
        "",
        f"- peak memory of {args.n:,} faces divided by that of {FEW}, without the tables: {many / few:.2f}, target at most {MAX_GROWTH}",
        f"- faces per second of one core: {rate:.0f}, target at least {MIN_RATE} (in processor time, because the"
        " wall clock includes other work of the machine)",
        "- the average of one face is that face, bit for bit; the symmetric average is its own mirror image",
    ]
    keep("warp", "\n".join(lines) + "\n", facts=facts, runs={str(n): run for n, run in runs.items()})


if __name__ == "__main__":
    main()
