"""Measure how often the intervals of the audit contain the truth: over all groups, and for the worst group.

    python benchmarks/audit_coverage.py --n 2000 --out FOLDER

The ordinary stages label a population of drawn characters once, so that its scores are known exactly. Then 240 rows are
drawn from it with replacement many times, and each sample is audited. The result is the share of intervals that contain
the score of the population (expected: 95 %). It is written to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from common import describe_machine, keep

import facestats as fs
from facestats.core.stats import wilson_interval
from facestats.demo.gallery import write_gallery

if TYPE_CHECKING:
    from facestats.core.config import Config

ROOT = Path(__file__).parents[1]
SLICE = ["attribute", "by", "group"]
METRICS = ("accuracy", "balanced_accuracy", "macro_f1")
MIN_FACES = 5  # smaller slices of a draw say nothing


def label_population(cfg: Config, folder: Path, *, n: int, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw and label `n` characters; return the labels of the pictures (`image_a`) and the truth."""
    raw, store = folder / "raw", fs.Store(folder)
    if not raw.is_dir():
        write_gallery(raw, n=n, seed=seed, style="eval")
    mesh, clip = fs.models.landmarker(cfg.faces), fs.models.clip(cfg.embeddings)
    faces = store.build(
        "faces", fs.list_images(raw), fs.align_faces, landmarker=mesh, crops_dir=store.crops_dir
    )
    places = {"encoder": clip, "crops_dir": store.crops_dir, "raw_dir": raw}
    vectors = store.build("embeddings", faces, fs.embed_faces, **places)
    labels = fs.label_attributes(vectors, clip, cfg.attributes)
    named = labels.select("image_id", *(pl.col(a).alias(f"image_{a}") for a in cfg.attributes))
    return named, fs.human_labels.read_truth(raw, cfg.attributes)


def count_covered(
    cfg: Config, labels: pl.DataFrame, truth: pl.DataFrame, *, size: int, draws: int, seed: int
) -> pl.DataFrame:
    """Audit `draws` samples; count, per slice and metric, the intervals and those that contain the truth."""
    known = truth.join(labels, on="image_id", how="inner", validate="1:1")
    exact = fs.audit.accuracy(labels, cfg.attributes, truth)
    rng = np.random.default_rng(seed)
    found = []
    for i in range(draws):
        ids = pl.Series("image_id", [str(k) for k in range(size)])
        rows = known[rng.integers(0, known.height, size)].with_columns(ids)
        part = fs.audit.accuracy(
            rows.select(labels.columns), cfg.attributes, rows.select(truth.columns), seed=i
        )
        both = part.filter(pl.col("n") >= MIN_FACES).join(exact, on=SLICE, suffix="_true", validate="1:1")
        found += [
            both.select(
                *SLICE,
                pl.lit(m).alias("metric"),
                covered=pl.col(f"{m}_true").is_between(pl.col(f"{m}_low") - 1e-9, pl.col(f"{m}_high") + 1e-9),
            ).drop_nulls("covered")
            for m in METRICS
        ]
    counts = pl.concat(found).group_by(*SLICE, "metric").agg(draws=pl.len(), covered=pl.col("covered").sum())
    return counts.sort(*SLICE, "metric")


def describe(covered: pl.DataFrame, *, draws: int, size: int) -> str:
    """Write, per metric and kind of slice, the coverage over all slices and in the worst one, as Markdown lines."""
    kinds = {
        "all faces": pl.col("by") == "all",
        "groups": (pl.col("by") != "all") & ~pl.col("by").str.contains("+", literal=True),
        "combinations": pl.col("by").str.contains("+", literal=True),
    }
    lines = [
        f"{draws} draws of {size} rows; slices of at least {MIN_FACES} faces. The worst slice is one of those that occur in half of the draws or more.",
        "",
        "| metric | kind of slice | slices | coverage | worst coverage | worst slice |",
        "|---|---|---|---|---|---|",
    ]
    for metric in METRICS:
        for kind, chosen in {"all": pl.lit(value=True), **kinds}.items():
            part = covered.filter(chosen & (pl.col("metric") == metric))
            frequent = part.filter(pl.col("draws") >= draws / 2).sort(pl.col("covered") / pl.col("draws"))
            if frequent.is_empty():
                continue
            worst = frequent.row(0, named=True)
            low, high = wilson_interval(worst["covered"], worst["draws"])
            lines.append(
                f"| {metric} | {kind} | {part.height} | {part['covered'].sum() / part['draws'].sum():.3f} |"
                f" {worst['covered'] / worst['draws']:.3f} ({low:.3f} to {high:.3f}) |"
                f" {worst['attribute']}, {worst['group']} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Label, draw, audit, and store the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--size", type=int, default=240)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=90_002)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures and tables")
    parser.add_argument("--config", type=Path, default=ROOT / "config/demo.yaml")
    given = parser.parse_args()
    logging.getLogger("facestats").setLevel(logging.ERROR)
    facts = describe_machine(["polars", "scipy", "torch"])
    cfg = fs.load_config(given.config)
    labels, truth = label_population(cfg, given.out, n=given.n, seed=given.seed)
    started = time.perf_counter()
    covered = count_covered(cfg, labels, truth, size=given.size, draws=given.draws, seed=given.seed)
    text = (
        f"# Coverage of the audit's intervals, {facts['date'][:10]}\n\n{facts['machine']}, git {facts['revision']}."
        f" A population of {truth.height} drawn characters; {time.perf_counter() - started:.0f} s.\n\n"
        + describe(covered, draws=given.draws, size=given.size)
        + "\n"
    )
    keep("audit_coverage", text, facts=facts, n=truth.height, slices=covered.to_dicts())


if __name__ == "__main__":
    main()
