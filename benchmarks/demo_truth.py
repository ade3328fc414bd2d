"""Compare the labels of the demo with what was drawn and written; the ordinary stages make them.

    python benchmarks/demo_truth.py --n 1000 --seed 90001 --out FOLDER

Draws characters and writes captions that were in no training set (other combinations, other drawing parameters, held-out
synonyms), aligns, embeds and labels them, and prints accuracy (95 % Wilson intervals) and macro-F1 per attribute. The
exit code is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import facestats as fs
from facestats.core.stats import wilson_interval
from facestats.demo.gallery import write_gallery
from facestats.demo.records import sample_records
from facestats.demo.training.nli import score_labels
from facestats.demo.writing.captions import write_caption

if TYPE_CHECKING:
    from facestats.core.config import Config

ROOT = Path(__file__).parents[1]


def score_pictures(cfg: Config, folder: Path, *, n: int, seed: int) -> pl.DataFrame:
    """Draw and label `n` characters; return `attribute`, `n`, `accuracy`, `low`, `high` (95 % Wilson)."""
    raw, store = folder / "raw", fs.Store(folder)
    write_gallery(raw, n=n, seed=seed, style="eval")
    images = fs.list_images(raw)
    mesh, clip = fs.models.landmarker(cfg.faces), fs.models.clip(cfg.embeddings)
    faces = store.build("faces", images, fs.align_faces, landmarker=mesh, crops_dir=store.crops_dir)
    places = {"encoder": clip, "crops_dir": store.crops_dir, "raw_dir": raw}
    vectors = store.build("embeddings", faces, fs.embed_faces, **places)
    labels = store.build("attributes", vectors, fs.label_attributes, encoder=clip, attributes=cfg.attributes)
    truth = pl.read_csv(raw / "metadata.csv", infer_schema=False).filter(pl.col("kind") == "character")
    both = truth.join(labels, left_on="file_name", right_on="image_id", how="left")
    rows = []
    for name in cfg.attributes:
        seen = both.filter(pl.col(f"true_{name}").fill_null("") != "")
        hits = int((seen[f"true_{name}"] == seen[name].cast(pl.String)).fill_null(value=False).sum())
        low, high = (float(v) for v in wilson_interval(hits, seen.height))
        rows.append((name, seen.height, hits / seen.height, low, high))
    return pl.DataFrame(rows, schema=["attribute", "n", "accuracy", "low", "high"], orient="row")


def score_captions(cfg: Config, *, n: int, seed: int) -> dict[str, dict[str, dict[str, float]]]:
    """Write and label `n` captions; return the scores by part and by attribute or mean."""
    rng = np.random.default_rng(seed)
    captions = [
        write_caption(record, rng, split="eval") for record in sample_records(n, seed=seed, style="eval")
    ]
    frame = pl.DataFrame({"image_id": [str(i) for i in range(n)], "text": [c.text for c in captions]})
    found = fs.label_texts(frame, fs.models.bart(cfg.text_labels), cfg.attributes)
    labels = {name: found[f"text_{name}"].cast(pl.String).to_list() for name in cfg.attributes}
    parts = {
        "all": range(n),
        "sentences": [i for i, c in enumerate(captions) if c.kind == "sentence"],
        "tags": [i for i, c in enumerate(captions) if c.kind == "tags"],
        "negations and distractors": [i for i, c in enumerate(captions) if c.tricky],
    }
    return {
        part: score_labels({k: [v[i] for i in rows] for k, v in labels.items()}, [captions[i] for i in rows])
        for part, rows in parts.items()
    }


def main() -> int:
    """Print both results, and which goals are missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=90_001)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=ROOT / "config/demo.yaml")
    arguments = parser.parse_args()
    cfg = fs.load_config(arguments.config)
    started = time.perf_counter()
    pictures = score_pictures(cfg, arguments.out, n=arguments.n, seed=arguments.seed)
    print(fs.show(pictures))
    mean, worst = pictures["accuracy"].mean(), pictures["accuracy"].min()
    print(f"pictures: mean accuracy {mean:.3f}, worst {worst:.3f} ({time.perf_counter() - started:.0f} s)")
    started = time.perf_counter()
    texts = score_captions(cfg, n=arguments.n, seed=arguments.seed)
    for part, scores in texts.items():
        print(part, {name: round(score["macro_f1"], 3) for name, score in scores.items()})
    print(f"captions: {time.perf_counter() - started:.0f} s")
    goals = {
        "mean accuracy 0.90": mean >= 0.90,
        "no attribute below 0.80": worst >= 0.80,
        "macro-F1 0.95": texts["all"]["mean"]["macro_f1"] >= 0.95,
        "macro-F1 0.90 with negations": texts["negations and distractors"]["mean"]["macro_f1"] >= 0.90,
    }
    print({goal: "reached" if reached else "MISSED" for goal, reached in goals.items()})
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
