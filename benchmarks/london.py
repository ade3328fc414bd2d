"""Run all notebooks on the 102 portraits of the London face set, and measure the results.

    python benchmarks/london.py LONDON_FOLDER WORK_FOLDER

LONDON_FOLDER holds the Face Research Lab London Set (DeBruine & Jones 2017, doi 10.6084/m9.figshare.5047666.v5)
with its templates and info.csv. The CLIP is a ViT-B/32 with random weights: it has the real speed, but vectors and labels
have no meaning. The text model is that of the demo.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
from random_clip import save_random_clip

import facestats as fs
from facestats.surfaces.notebooks.expected_tables import expected_tables
from facestats.surfaces.notebooks.run import run_notebooks

ROOT = Path(__file__).parents[1]
TABLES = ("faces", "embeddings", "attributes", "text_labels", "master", "clusters")


def make_project(london: Path, folder: Path) -> Path:
    """Make a project of pictures, captions from info.csv and a random CLIP; return its configuration file."""
    raw = folder / "data/raw"
    raw.mkdir(parents=True, exist_ok=True)
    info = pl.read_csv(london / "info.csv", infer_schema=False).sort("face_id")
    for face in info["face_id"]:
        shutil.copy2(london / f"{face}_03.jpg", raw)
    age = (
        pl.when(pl.col("face_age").str.contains(r"^\d"))
        .then(pl.format("{} year old ", "face_age"))
        .otherwise(pl.lit(""))
    )
    text = pl.format(
        "A portrait of a {}{} person, {}.", age, pl.col("face_eth").str.replace("_", " "), "face_gender"
    )
    info.select(pl.format("{}_03.jpg", "face_id").alias("file_name"), text.alias("text")).write_csv(
        raw / "metadata.csv"
    )
    clip = save_random_clip(folder / "clip")
    config = folder / "config.yaml"
    config.write_text(
        f"data_dir: data\nattributes: {ROOT / 'config/attributes.yaml'}\nembeddings: {{model: 'local-dir:{clip}'}}\n"
        "text_labels: {model: '${package}/demo/bart'}\nclusters: {n_clusters: 6}\n"
    )
    return config


def pupil_figures(london: Path, faces: pl.DataFrame, size: int) -> None:
    """Print how far stored irises lie from hand-placed pupils, and aligned pupils from the template."""
    from facestats.pictures.geometry import PUPILS, transform_points

    errors, aligned = [], []
    for row in faces.iter_rows(named=True):
        lines = (london / row["image_id"]).with_suffix(".tem").read_text().splitlines()[1:3]
        hand = np.array([[float(v) for v in line.split()] for line in lines])
        irises = np.array(row["landmarks"])[[468, 473]]
        errors.append(np.linalg.norm(irises - hand, axis=1).mean() / np.linalg.norm(hand[0] - hand[1]))
        aligned.append(transform_points(irises, np.array(row["matrix"])))
    points = np.array(aligned)
    offset = np.linalg.norm(points.mean(axis=0) - (np.asarray(PUPILS) * size - 0.5), axis=1)
    print(
        f"distance of irises from hand-placed pupils: mean {np.mean(errors):.4f}, worst {max(errors):.4f} interocular distances"
    )
    print(
        f"distance of aligned pupils from the template: {offset.round(2)} px on average, SD {points.std(axis=0).round(2).tolist()} px"
    )


def touch_add_remove(config: Path) -> None:
    """Touch, add and remove one photograph each; the status names them, and the next run computes two rows per stage."""
    cfg = fs.load_config(config)
    pictures = sorted(cfg.raw_dir.glob("*.jpg"))
    os.utime(pictures[0])
    shutil.copy2(pictures[1], cfg.raw_dir / "zz_added.jpg")
    pictures[2].unlink()
    show_status(config)
    run_notebooks(config)
    for name in TABLES:
        print(name, fs.Store(cfg.data_dir).read(name).height, "rows")


def women_average(config: Path) -> None:
    """Average 20 women, as their captions say, and print the sharpness ratio."""
    cfg = fs.load_config(config)
    store, target = fs.Store(cfg.data_dir), cfg.data_dir / "report" / "women"
    target.mkdir(exist_ok=True)
    captions = fs.list_captions(cfg.raw_dir).filter(pl.col("text").str.contains("female"))
    women = store.read("master").join(captions.select("image_id"), on="image_id", how="semi").head(20)
    mean, warp = (fs.average_faces(women, store.crops_dir, method=method) for method in ("mean", "warp"))
    mean.save(target / "pixel_mean.png")
    warp.save(target / "warped_mean.png")
    print(
        f"{warp.n} women: the warped mean is so many times as sharp as the pixel mean: {fs.composites.sharpness_ratio(warp, mean):.2f}"
    )


def show_status(config: Path) -> None:
    """Print what `facestats status` prints."""
    cfg = fs.load_config(config)
    for row in fs.Store(cfg.data_dir).status(expected_tables(cfg)).rows():
        print(*row)


def main(london: Path, folder: Path) -> None:
    """Run all of it and print the figures."""
    config = make_project(london, folder)
    os.environ["FACESTATS_CONFIG"] = str(config)
    started = time.perf_counter()
    run_notebooks(config)
    print(f"all notebooks: {time.perf_counter() - started:.0f} s")
    cfg = fs.load_config(config)
    store = fs.Store(cfg.data_dir)
    faces = store.read("faces")
    print(faces["status"].value_counts().rows(), {name: store.read(name).height for name in TABLES})
    pupil_figures(london, faces, cfg.faces.crop_size)
    women_average(config)
    touch_add_remove(config)
    show_status(config)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
