"""Draw the figures of the README from the tables of the demo.

    make demo && make figures

Writes aligned faces, the map, average faces and the audit into docs/images, as pictures of one size that make one strip.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt

import facestats as fs

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

OUT = Path(__file__).parent / "images"
INCHES, DPI = (3.6, 3.2), 150  # 540 x 480 pixels
TITLE = 13  # points: the strip shows the figures at less than half their size


def draw_faces(store: fs.Store, ax: Axes) -> None:
    """Draw aligned faces."""
    faces = store.read("faces", columns=["image_id", "crop"]).drop_nulls()
    fs.plots.face_grid(faces.head(16), store.crops_dir, n_columns=4, ax=ax)
    ax.set_title("Aligned faces", fontsize=TITLE, loc="left")


def draw_map(store: fs.Store, ax: Axes) -> None:
    """Draw the map of the vectors, one color per cluster."""
    clusters = store.read("clusters").drop_nulls("cluster")
    fs.plots.face_map(clusters, color="cluster", size=26, ax=ax)
    ax.get_legend().remove()
    ax.set_title(f"Map of {clusters.height} faces, by cluster", fontsize=TITLE, loc="left")


def draw_averages(store: fs.Store, ax: Axes) -> None:
    """Draw the average faces of four groups."""
    needed = ["image_id", "crop", "landmarks", "matrix", "age", "gender"]
    faces = store.read("master", columns=needed).drop_nulls()
    groups = {"female": "gender", "male": "gender", "child": "age", "elderly": "age"}
    averages = {
        name: fs.average_faces(faces, store.crops_dir, method="warp", where={column: name})
        for name, column in groups.items()
    }
    fs.plots.composite_grid(averages, n_columns=2, ax=ax)
    for text, (name, average) in zip(ax.texts, averages.items(), strict=True):
        text.set(text=f"{name}, n = {average.n}", fontsize=11)
    ax.set_title("Average faces", fontsize=TITLE, loc="left")


def draw_audit(store: fs.Store, ax: Axes) -> None:
    """Draw the accuracy of the labels in each group."""
    fs.plots.group_bars(store.read("audit"), ax=ax)
    ax.set_title("Label accuracy", fontsize=TITLE, loc="left")
    ax.set_xlabel("with 95 % intervals", fontsize=11)


FIGURES: dict[str, Callable[[fs.Store, Axes], None]] = {
    "faces": draw_faces,
    "map": draw_map,
    "averages": draw_averages,
    "audit": draw_audit,
}


def main() -> None:
    """Draw all figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="data folder of the demo")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the pictures")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    store = fs.Store(arguments.data)
    for name, draw in FIGURES.items():
        figure, ax = plt.subplots(figsize=INCHES, layout="constrained")
        draw(store, ax)
        figure.savefig(arguments.out / f"{name}.jpg", dpi=DPI, pil_kwargs={"quality": 82, "optimize": True})
        plt.close(figure)


if __name__ == "__main__":
    main()
