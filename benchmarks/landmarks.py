"""Measure each landmarker at hand: points against hand-placed ones, alignment, time, and what is wrongly found or missed.

    python benchmarks/landmarks.py LONDON 3DSK [--bundle face_landmarker.task]

LONDON and 3DSK hold the two face sets of DeBruine and Jones (doi 10.6084/m9.figshare.5047666.v5 and 10.17605/OSF.IO/F7XPD),
pictures and templates. Also drawn are 500 characters, and pictures without a face: patterns, scenes of the demo, and the
icons in the package matplotlib. Time is processor time of one core for a picture in memory, without decoding.

The result goes to benchmarks/results/ as Markdown and JSON, with date, git revision, machine and versions.
"""

from __future__ import annotations

import argparse
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import matplotlib as mpl
import numpy as np
import polars as pl
from common import describe_machine, keep, markdown_table
from no_faces import draw_no_faces
from PIL import Image

from facestats.core.protocols import ModelError
from facestats.demo.drawing.backdrop import draw_nobody
from facestats.demo.gallery import plan_gallery, render
from facestats.models.landmarks import LANDMARKERS, FaceMesh
from facestats.pictures.decode import decode_picture
from facestats.pictures.geometry import IRISES, PUPILS, align_matrix, transform_points

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from facestats.core.protocols import Face

PACKAGES = ("facestats", "ai-edge-litert", "mediapipe", "numpy", "opencv-contrib-python")
SIDE = 512
N_SCENES = 200
TARGETS = np.array(PUPILS) * SIDE - 0.5
GOALS = {"London": (0.0105, 0.026), "3DSK": (0.0120, 0.026)}  # mean and worst distance of the pupils


def read_hand_points(template: Path) -> np.ndarray:
    """Read the hand-placed points of a picture, (n, 2); the first two are the pupils."""
    lines = template.read_text().splitlines()
    return np.array([[float(v) for v in line.split()] for line in lines[1 : int(lines[0]) + 1]])


def measure_portraits(mesh: FaceMesh, folder: Path, name: str) -> dict[str, Any]:
    """Compare the irises with the hand-placed pupils, and the aligned pupils with the template."""
    errors, aligned, seconds, n = [], [], [], 0
    for path in sorted(folder.glob("*.jpg")):
        n += 1
        faces, took = find(mesh, np.asarray(Image.open(path).convert("RGB")))
        seconds.append(took)
        if len(faces) != 1 or faces[0].points is None:
            continue
        hand = read_hand_points(path.with_suffix(".tem"))[:2]
        irises = faces[0].points[list(IRISES)]
        errors.append(np.linalg.norm(irises - hand, axis=1).mean() / np.linalg.norm(hand[0] - hand[1]))
        matrix = align_matrix(faces[0].points, faces[0].box, size=SIDE)
        aligned.append(transform_points(irises, matrix))
    away = np.linalg.norm(np.mean(aligned, axis=0) - TARGETS, axis=1).max()
    return {
        "pictures": name,
        "found": f"{len(errors)} of {n}",
        "pupils, mean": f"{np.mean(errors):.4f}",
        "worst": f"{max(errors):.4f}",
        "aligned pupils": f"{away:.2f}",
        "ms": f"{1000 * np.median(seconds):.1f}",
    }


def find(mesh: FaceMesh, pixels: np.ndarray) -> tuple[list[Face], float]:
    """Find the faces of a picture; also return the processor seconds that it took."""
    start = time.process_time()
    faces = mesh.find(pixels)
    return faces, time.process_time() - start


def draw_characters(n: int) -> Iterator[np.ndarray]:
    """Draw characters of the demo."""
    for sheet in plan_gallery(n, seed=5)[:n]:
        yield np.asarray(decode_picture(render(sheet)[0]).image)


def read_icons() -> Iterator[np.ndarray]:
    """Read the icons of matplotlib on white ground, also enlarged."""
    for path in sorted((Path(mpl.get_data_path()) / "images").glob("*.png")):
        icon = Image.open(path).convert("RGBA")
        ground = Image.new("RGBA", icon.size, "white")
        ground.alpha_composite(icon)
        for side in (icon.width, 300):
            yield np.asarray(ground.convert("RGB").resize((side, side)))


def count_found(mesh: FaceMesh, pictures: Iterable[np.ndarray]) -> str:
    """Count the pictures in which a face is found."""
    found = [bool(mesh.find(pixels)) for pixels in pictures]
    return f"{sum(found)} of {len(found)}"


def measure(mesh: FaceMesh, folders: dict[str, Path], *, n_drawn: int) -> list[dict[str, Any]]:
    """Return the rows of one landmarker."""
    rng = np.random.default_rng(0)
    mesh.find(np.zeros((64, 64, 3), np.uint8))  # reads the networks
    rows = [measure_portraits(mesh, folder, name) for name, folder in folders.items()]
    others = {
        f"{n_drawn} drawn characters": draw_characters(n_drawn),
        "without a face: patterns": draw_no_faces().values(),
        "without a face: scenes": (draw_nobody(rng) for _ in range(N_SCENES)),
        "without a face: icons": read_icons(),
    }
    blank = {"pupils, mean": "", "worst": "", "aligned pupils": "", "ms": ""}
    rows += [{"pictures": k, "found": count_found(mesh, pictures), **blank} for k, pictures in others.items()]
    return [{"landmarker": mesh.landmarker, **row} for row in rows]


def landmarkers(bundle: Path | None) -> Iterator[FaceMesh]:
    """Yield the landmarkers whose networks and packages are there or can be fetched."""
    for name in LANDMARKERS:
        mesh = FaceMesh(landmarker=name, networks=None if name == "facemesh" else bundle)
        try:
            print(f"{name}: {mesh.name} in {mesh.folder}")
        except ModelError as error:
            print(f"{name} is left out: {error}")
            continue
        yield mesh


def main() -> int:
    """Measure, print and keep the result; the exit code is 1 if the default landmarker misses a goal for the pupils."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("london", type=Path)
    parser.add_argument("threedsk", type=Path, metavar="3DSK")
    parser.add_argument("--n-drawn", type=int, default=500)
    parser.add_argument("--bundle", type=Path, help="the official bundle; by default it is fetched")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    facts = describe_machine([name for name in PACKAGES if is_installed(name)])
    folders = {"London": arguments.london, "3DSK": arguments.threedsk}
    rows = [
        row
        for mesh in landmarkers(arguments.bundle)
        for row in measure(mesh, folders, n_drawn=arguments.n_drawn)
    ]
    mine = {row["pictures"]: row for row in rows if row["landmarker"] == "facemesh"}
    missed = [
        name
        for name, (mean, worst) in GOALS.items()
        if float(mine[name]["pupils, mean"]) > mean or float(mine[name]["worst"]) > worst
    ]
    text = [
        "# Landmarks",
        "",
        "; ".join(f"{k}: {v}" for k, v in facts.items()),
        "",
        "Pupils: distance of the irises from the hand-placed pupils, in eye distances (mean of both eyes). Aligned pupils:"
        f" distance of the mean iris from its place in a crop of {SIDE} pixels, in pixels, the farther eye. ms: processor"
        " time of one core for a picture (median), which grows with the load of the machine.",
        "",
        *markdown_table(pl.DataFrame(rows)),
        "",
    ]
    keep("landmarks", "\n".join(text), facts=facts, rows=rows)
    print(
        f"the goals for the pupils are missed: {missed}"
        if missed
        else "the goals for the pupils are reached; the others are read from the table"
    )
    return 1 if missed else 0


def is_installed(name: str) -> bool:
    """Whether a package is there."""
    try:
        return bool(version(name))
    except PackageNotFoundError:
        return False


if __name__ == "__main__":
    raise SystemExit(main())
