"""Measure how shortcuts and thresholds change text labels: speed, agreement, macro-F1.

Uses the demo's tiny BART and captions with known truth. The shortcuts are: ask first whether a text mentions an attribute
at all, look up tags first, and use CLIP vectors of the texts instead of BART. The threshold of abstention is chosen on
some captions and tested on others.

    python benchmarks/text_ways.py --captions 1000
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from common import RESULTS, clock, describe_machine, keep, markdown_table
from random_bart import as_captions

import facestats as fs
from facestats.core.config import TextLabelsSettings
from facestats.demo.training.bart_card import draw_captions
from facestats.demo.training.nli import score_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from facestats.core.config import AttributeSettings
    from facestats.demo.writing.captions import Caption

ROOT = Path(__file__).parents[1]
DEFAULT_THRESHOLD = TextLabelsSettings().threshold
THRESHOLDS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


def compare_ways(n: int) -> pl.DataFrame:
    """Measure speed, agreement and macro-F1 of each way to label `n` held-out captions of the demo."""
    cfg = fs.load_config(ROOT / "config/demo.yaml")
    captions = draw_captions(n, seed=1_000_003)
    frame = as_captions([c.text for c in captions])
    bart, clip = fs.models.bart(cfg.text_labels), fs.models.clip(cfg.embeddings)
    ways: dict[str, Callable[[], pl.DataFrame]] = {
        "bart": lambda: fs.label_texts(frame, bart, cfg.attributes),
        "bart, ask_first": lambda: fs.label_texts(frame, bart, cfg.attributes, ask_first=True),
        "bart, lexicon": lambda: fs.label_texts(frame, bart, cfg.attributes, lexicon=True),
        "bart, both": lambda: fs.label_texts(frame, bart, cfg.attributes, ask_first=True, lexicon=True),
        "clip embedding": lambda: _by_embedding(frame, clip, cfg.attributes),
    }
    bart.score(["warm"], ["up"])
    clip.encode_texts(["warm up"])
    rows, first = [], pl.DataFrame()
    for way, run in ways.items():
        seconds, found = clock(run)
        first = found if first.is_empty() else first
        names = [f"text_{name}" for name in cfg.attributes]
        same = float(np.mean([(found[c].eq_missing(first[c])).mean() for c in names]))
        scored = {
            part: _macro_f1(found, captions, cfg.attributes, keep=kept)
            for part, kept in (("all", None), ("tags", "tags"), ("tricky", "tricky"))
        }
        rows.append({"way": way, "texts/s": n / seconds, "agrees with bart": same, **scored})
        print(rows[-1], flush=True)
    return pl.DataFrame(rows)


def choose_threshold(n: int) -> pl.DataFrame:
    """Measure macro-F1 of each threshold on `n` captions that choose it, and on `n` others that test it."""
    cfg = fs.load_config(ROOT / "config/demo.yaml")
    bart = fs.models.bart(cfg.text_labels)
    scores: dict[str, list[float]] = {}
    for part, seed in (("choosing", 2_000_003), ("held out", 1_000_003)):
        captions = draw_captions(n, seed=seed)
        found = fs.label_texts(as_captions([c.text for c in captions]), bart, cfg.attributes, threshold=0.0)
        names = [f"text_{name}" for name in cfg.attributes]
        scores[part] = [
            _macro_f1(
                fs.attributes.mask_low_scores(found, level, attributes=names),
                captions,
                cfg.attributes,
                keep=None,
            )
            for level in THRESHOLDS
        ]
    return pl.DataFrame({"threshold": THRESHOLDS, **scores})


def _by_embedding(frame: pl.DataFrame, clip: Any, attributes: dict[str, AttributeSettings]) -> pl.DataFrame:
    labels = fs.label_attributes(fs.text_labels.embed_texts(frame, clip), clip, attributes)
    return labels.rename({c: f"text_{c}" for c in labels.columns if c != "image_id"})


def _macro_f1(
    found: pl.DataFrame,
    captions: list[Caption],
    attributes: dict[str, AttributeSettings],
    *,
    keep: str | None,
) -> float:
    rows = [
        i
        for i, c in enumerate(captions)
        if keep is None or (c.tricky if keep == "tricky" else c.kind == keep)
    ]
    labels = {name: found[f"text_{name}"].cast(pl.String).gather(rows).to_list() for name in attributes}
    return score_labels(labels, [captions[i] for i in rows])["mean"]["macro_f1"]


def report_threshold(table: pl.DataFrame) -> list[str]:
    """Write which threshold was chosen, and its macro-F1 on other captions."""
    best = table.row(table["choosing"].arg_max(), named=True)
    usual = table.row(by_predicate=pl.col("threshold") == DEFAULT_THRESHOLD, named=True)
    return [
        "## The threshold of abstention",
        "",
        "Macro-F1 over options and 'not said', on the captions that choose the threshold and on others.",
        "",
        *markdown_table(table),
        "",
        f"- chosen: {best['threshold']}, macro-F1 {best['held out']:.3f} on the others; the default"
        f" {DEFAULT_THRESHOLD}: {usual['held out']:.3f}",
    ]


def main() -> None:
    """Compare the ways, choose the threshold, and store the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--captions", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    facts = describe_machine(("torch", "transformers", "numpy", "polars")) | {"captions": args.captions}
    ways, thresholds = compare_ways(args.captions), choose_threshold(args.captions)
    lines = [
        "# Ways to label the demo's captions",
        "",
        "Tiny model, held-out captions; macro-F1 over options and 'not said'.",
    ]
    lines += ["", *markdown_table(ways), "", *report_threshold(thresholds), ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    numbers = {"ways": ways.to_dicts(), "thresholds": thresholds.to_dicts()}
    keep("text_ways", "\n".join([*lines, ""]), facts=facts, out=args.out, **numbers)


if __name__ == "__main__":
    main()
