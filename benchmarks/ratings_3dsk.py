"""Measure ratings of real faces: their reliability, and a regression beside one rater and the ceiling.

    python benchmarks/ratings_3dsk.py 3DSK_FOLDER WORK_FOLDER

3DSK_FOLDER holds the 3DSK face set (DeBruine & Jones 2020, doi 10.17605/OSF.IO/A3947): 100 pictures and
raters.parquet, the single ratings. The vectors are those of the demo's tiny CLIP, which was never trained on photographs:
it is mostly the shape that predicts here.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import polars as pl
from common import describe_machine, keep

import facestats as fs

ROOT = Path(__file__).parents[1]
TRAITS = ("att", "dom", "health", "sexdim", "trust")


def read_single_ratings(folder: Path) -> pl.DataFrame:
    """Read the single ratings, with the names that `fs.ratings.read` expects."""
    raw = pl.read_parquet(folder / "raters.parquet")
    return fs.ratings.read(raw.with_columns(image_id=pl.format("{}.jpg", "face_id")))


def embed(folder: Path, work: Path) -> tuple[pl.DataFrame, str]:
    """Align and embed the pictures; return vectors with landmarks, and the name of the encoder."""
    cfg = fs.load_config(ROOT / "config/demo.yaml")
    raw, store = work / "raw", fs.Store(work)
    raw.mkdir(parents=True, exist_ok=True)
    for file in sorted(folder.glob("*.jpg")):
        if not (raw / file.name).exists():
            shutil.copy2(file, raw)
    faces = store.build(
        "faces",
        fs.list_images(raw),
        fs.align_faces,
        landmarker=fs.models.landmarker(cfg.faces),
        crops_dir=store.crops_dir,
    )
    clip = fs.models.clip(cfg.embeddings)
    vectors = store.build(
        "embeddings", faces, fs.embed_faces, encoder=clip, crops_dir=store.crops_dir, raw_dir=raw
    )
    return vectors.join(faces.select("image_id", "landmarks"), on="image_id"), clip.name


def main(folder: Path, work: Path) -> None:
    """Measure everything and store the result."""
    facts = describe_machine(["facestats", "scikit-learn", "torch"])
    ratings, lines, numbers = read_single_ratings(folder), ["# Ratings of 3DSK", ""], {}
    lines += [
        "| faces | trait | one rater | halves | stepped up | ICC(2,1) | ICC(2,k) | ceiling |",
        "|--" * 8 + "|",
    ]
    for (gender, trait), part in ratings.sort("face_gender", "trait").group_by(
        "face_gender", "trait", maintain_order=True
    ):
        found = dict(
            fs.ratings.reliability(part, n_splits=500, n_resamples=2).select("measure", "value").iter_rows()
        )
        shown = ("single_rater", "split_half", "spearman_brown", "icc_2_1", "icc_2_k", "ceiling")
        lines.append(f"| {gender} | {trait} | " + " | ".join(f"{found[m]:.3f}" for m in shown) + " |")
        numbers[f"{gender} {trait}"] = found
    rows, encoder = embed(folder, work)
    settings = fs.load_config(ROOT / "config/demo.yaml").ratings
    variants = {
        "vectors and shape": settings.model_copy(update={"columns": ("embedding",), "min_cosine": 0.9999}),
        "vectors": settings.model_copy(
            update={"columns": ("embedding",), "min_cosine": 0.9999, "n_shape": 0}
        ),
    }
    lines += [
        "",
        "| faces | trait | features | regressor | r | 95 % interval | skill | 95 % interval | one rater | ceiling |",
        "|--" * 10 + "|",
    ]
    groups = {"female": ["female"], "male": ["male"], "all": ["female", "male"]}
    for name, genders in groups.items():
        for trait in TRAITS if name == "all" else ("att",):
            part = ratings.filter(pl.col("face_gender").is_in(genders), trait=trait)
            for label, chosen in variants.items():
                for regressor in (fs.models.ridge(), *([fs.models.mlp()] if trait == "att" else [])):
                    fit = fs.fit_ratings(rows, part, regressor, encoder=encoder, settings=chosen)
                    found = {r["measure"]: r for r in fit.skill.iter_rows(named=True)}
                    r, skill, kind = found["r"], found["skill"], type(regressor).__name__.lower()
                    ends = [found[m]["value"] for m in ("single_rater", "ceiling")]
                    lines.append(
                        f"| {name} | {trait} | {label} | {kind} | {r['value']:.2f} | {r['low']:.2f} to"
                        f" {r['high']:.2f} | {skill['value']:.2f} | {skill['low']:.2f} to"
                        f" {skill['high']:.2f} | {ends[0]:.2f} | {ends[1]:.3f} |"
                    )
                    numbers[f"{name} {trait} {label} {kind}"] = [
                        *(measure[c] for measure in (r, skill) for c in ("value", "low", "high")),
                        *ends,
                    ]
    lines += ["", ", ".join(f"{k}: {v}" for k, v in facts.items())]
    keep("ratings_3dsk", "\n".join(lines) + "\n", facts=facts, numbers=numbers)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
