"""Measure how well the demo's CLIP notices pictures unlike the drawn characters that it was trained on.

    python benchmarks/demo_domain.py --out FOLDER [--photographs FOLDER ...] [--write]

Draws characters with new seeds, embeds them and the photographs with the ordinary stages in fp32 and bf16, and prints the
share of each set that is marked: by both vectors, and by one of them alone. ``--write`` first fits mean, covariance and
limits again and writes them beside the model: mean and covariance of characters in the style of the training, limits of
others in the held-out style, none of which is in a measured set.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import save_file

import facestats as fs
from facestats.core.config import PACKAGE, EmbeddingsSettings, FacesSettings
from facestats.demo.gallery import write_gallery
from facestats.models.domain import FOLDER, VECTORS, Domain, read_domain

MODEL = PACKAGE / "demo" / "clip"
SHRINKAGE = 0.01  # of the mean variance, added to each: no direction is without any
SHARE = 0.99  # of held-out characters that are within the limits
VIEWS = ["embedding", "embedding_full"]
MEASURED_SEED = 90210


def draw(folder: Path, *, n: int, seed: int, style: str) -> Path:
    """Draw a gallery, unless it is there."""
    raw = folder / f"{style}_{seed}"
    if not (raw / "metadata.csv").exists():
        write_gallery(raw, n=n, seed=seed, style=style)
    return raw


def embed(raw: Path, folder: Path, *, precision: str = "fp32") -> pl.DataFrame:
    """Align and embed the pictures of a folder."""
    store = fs.Store(folder / f"{raw.name}_tables")
    mesh = fs.models.landmarker(FacesSettings())
    faces = store.build(
        "faces", fs.list_images(raw), fs.align_faces, landmarker=mesh, crops_dir=store.crops_dir
    )
    clip = fs.models.clip(EmbeddingsSettings(model=f"local-dir:{MODEL}", precision=precision, device="cpu"))
    places = {"crops_dir": store.crops_dir, "raw_dir": raw}
    return store.build("embeddings", faces, fs.embed_faces, encoder=clip, **places)


def fit(reference: np.ndarray, held_out: np.ndarray) -> dict[str, np.ndarray]:
    """Fit mean and covariance of `reference` and the limits of `held_out`, both (n, 2 d)."""
    mean, covariance = reference.mean(axis=0), np.cov(reference.T)
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    domain = Domain("", "", mean=mean, covariance=covariance)
    d = len(mean) // 2
    parts = {"face": held_out[:, :d], "full": held_out[:, d:], "both": held_out}
    limits = [np.quantile(domain.measure(v, part), SHARE) for part, v in parts.items()]
    found = {"mean": mean, "covariance": covariance, "limits": np.array(limits)}
    return {k: v.astype(np.float32) for k, v in found.items()}


def characters(embeddings: pl.DataFrame) -> np.ndarray:
    """Return the vectors of pictures of one character, (n, 2 d)."""
    known = embeddings.filter(pl.col("image_id").str.starts_with("character")).drop_nulls(VIEWS)
    return np.hstack([known[c].to_numpy().astype(np.float64) for c in VIEWS])


def count(name: str, precision: str, embeddings: pl.DataFrame, domain: Domain) -> dict[str, object]:
    """Count the pictures of a set that are marked."""
    known = embeddings.drop_nulls("embedding_full")  # files that are no pictures have no vector
    shares = {
        "both": domain.mark(known)["outside"],
        "face alone": domain.mark(_without(known, "embedding_full"))["outside"].drop_nulls(),
        "whole picture alone": domain.mark(_without(known, "embedding"))["outside"],
    }
    row = {"pictures": name, "precision": precision, "n": known.height}
    return row | {k: float(v.mean() or 0) if len(v) else None for k, v in shares.items()}


def _without(table: pl.DataFrame, column: str) -> pl.DataFrame:
    return table.with_columns(pl.lit(None, dtype=table.schema[column]).alias(column))


def main() -> None:
    """Fit if wanted, measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and tables")
    parser.add_argument("--photographs", type=Path, nargs="*", default=[], help="folders of other pictures")
    parser.add_argument("--n", type=int, default=500, help="characters to measure")
    parser.add_argument("--write", action="store_true", help="fit again, and write beside the model")
    arguments = parser.parse_args()
    out = arguments.out
    if arguments.write:
        reference = embed(draw(out, n=2000, seed=5000, style="train"), out)
        held_out = embed(draw(out, n=1000, seed=5001, style="eval"), out)
        (MODEL / FOLDER).mkdir(exist_ok=True)
        save_file(fit(characters(reference), characters(held_out)), MODEL / FOLDER / VECTORS)
    domain = read_domain(MODEL / FOLDER)
    rows = []
    drawn = draw(out, n=arguments.n, seed=MEASURED_SEED, style="eval")
    for raw in (drawn, *arguments.photographs):
        for precision in ("fp32", "bf16"):
            table = embed(raw, out, precision=precision)
            kinds = {raw.name: table}
            if raw is drawn:
                prefix = pl.col("image_id").str.extract(r"^([a-z]+)_").alias("prefix")
                parts = table.with_columns(prefix).partition_by("prefix", as_dict=True)
                kinds = {str(key[0]): part for key, part in parts.items()}
            rows += [count(name, precision, part, domain) for name, part in kinds.items()]
    with pl.Config(tbl_rows=-1, tbl_cols=-1, tbl_hide_dataframe_shape=True):
        print(pl.DataFrame(rows))


if __name__ == "__main__":
    main()
