"""Measure texts per second of `label_texts`, of the stock zero-shot pipeline, and of the bare model.

All are measured in one run, with a BART-large of random weights (the real architecture and speed) and the attributes of
the configuration:

- ours: `facestats.label_texts`, including the tokenizer;
- bare: the same model in the same dtype, on tokenized pairs sorted by length, in batches of 32;
- stock: `transformers.pipeline("zero-shot-classification")` in fp32, as its documentation shows it;
- stock_16: the same with `batch_size=16`;
- copies: ours with ten copies of every text.

The labels are compared with those of the stock pipeline in fp32, also for the trained model of the demo.

    python benchmarks/text_labels.py --texts 12 --rounds 3

The result goes to benchmarks/results/ as Markdown and JSON, with date, git revision, machine and versions.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from common import RESULTS, clock, describe_machine, keep, rate_table
from random_bart import as_captions, bare_model, bf16_arithmetic, pick_texts, save_random_bart, stock_pipeline

import facestats as fs
from facestats.core.config import TextLabelsSettings
from facestats.demo.training.bart_card import draw_captions

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
COPIES = 10
TARGETS = {"ours / stock": 5.0, "ours / stock_16": 2.5, "ours / bare": 0.8, "copies / ours": 9.0}
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "polars")


def compare_speed(
    folder: Path, texts: list[str], *, rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Measure texts per second of every way in interleaved rounds (the slow stock ways run once), and agreement."""
    cfg = fs.load_config(ROOT / "config/default.yaml")
    bart = fs.models.bart(TextLabelsSettings(model=str(folder)))
    precision = bart.precision_reason.partition(" ")[0]
    hypotheses = [h for a in cfg.attributes.values() for hs in a.hypotheses().values() for h in hs]
    frame, copied = as_captions(texts), as_captions(texts * COPIES)
    runs: dict[str, Callable[[], Any]] = {
        "ours": lambda: fs.label_texts(frame, bart, cfg.attributes),
        "bare": bare_model(folder, texts, hypotheses, precision),
        "copies": lambda: fs.label_texts(copied, bart, cfg.attributes),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    labels = pl.DataFrame()
    for number in range(rounds + 1):
        for name, run in runs.items():
            seconds, result = clock(run)
            labels = result if name == "ours" else labels
            rate = len(texts) * (COPIES if name == "copies" else 1) / seconds
            print(
                f"round {number} {name:8} {rate:8.3f} texts/s" + ("" if number else "  (warm-up)"), flush=True
            )
            if number:
                rates[name].append(rate)
    del runs
    agreement: dict[str, Any] = {}
    for name, options in (("stock_16", {"batch_size": 16}), ("stock", {})):
        seconds, probs = clock(stock_pipeline(folder, texts, cfg.attributes, **options))
        rates[name] = [len(texts) / seconds]
        print(f"{name:16} {rates[name][0]:8.3f} texts/s", flush=True)
        agreement = agree(labels, probs)
    return rates, {"precision": bart.precision_reason, "pairs": len(texts) * len(hypotheses), **agreement}


def check_agreement(folder: Path, texts: list[str]) -> dict[str, Any]:
    """Compare only labels, ours in bf16 with stock in fp32, for BART-large of random weights and the demo's model."""
    cfg = fs.load_config(ROOT / "config/default.yaml")
    stock = stock_pipeline(folder, texts, cfg.attributes, batch_size=16)()
    bart = fs.models.bart(TextLabelsSettings(model=str(folder), precision="bf16"))
    with bf16_arithmetic() as how:
        labels = fs.label_texts(as_captions(texts), bart, cfg.attributes)
    return {"ours": how} | agree(labels, stock) | agree_demo(100)


def agree_demo(n: int) -> dict[str, Any]:
    """Compare labels of the demo's trained model, on captions that it understands."""
    cfg = fs.load_config(ROOT / "config/demo.yaml")
    texts = [c.text for c in draw_captions(n, seed=5)]
    labels = fs.label_texts(as_captions(texts), fs.models.bart(cfg.text_labels), cfg.attributes)
    stock = stock_pipeline(Path(cfg.text_labels.model), texts, cfg.attributes, batch_size=16)
    return {f"demo model: {key}": value for key, value in agree(labels, stock()).items()}


def agree(labels: pl.DataFrame, probs: dict[str, np.ndarray], *, margin: float = 0.02) -> dict[str, Any]:
    """Compare our labels with those of the stock pipeline, where its margin exceeds `margin`."""
    same = clear = cells = 0
    for name, stock in probs.items():
        ours = labels[f"text_{name}_probs"].to_numpy().argmax(axis=1)
        ranked = np.sort(stock, axis=1)
        sure = ranked[:, -1] - ranked[:, -2] > margin
        same += int((ours == stock.argmax(axis=1))[sure].sum())
        clear += int(sure.sum())
        cells += len(sure)
    return {
        "cells": cells,
        f"cells with a stock margin over {margin}": clear,
        "agreement with stock fp32 there": round(same / max(clear, 1), 4),
    }


def report(rates: dict[str, list[float]], facts: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    lines = ["# Text labels: texts per second, BART-large, nine attributes", ""]
    lines += rate_table(rates)
    lines.append("")
    for target, wanted in TARGETS.items():
        above, _, below = target.partition(" / ")
        ratio = medians[above] / medians[below]
        lines.append(f"- {target}: {ratio:.2f}, target {wanted}: {'met' if ratio >= wanted else 'NOT met'}")
    lines += ["", *(f"- {key}: {value}" for key, value in facts.items())]
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the comparison and store it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--agreement", action="store_true", help="only compare labels with the stock pipeline's"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    facts = {**describe_machine(PACKAGES), "texts": args.texts}
    with tempfile.TemporaryDirectory() as temporary:
        folder = save_random_bart(Path(temporary, "bart-large"))
        if args.agreement:
            facts |= check_agreement(folder, pick_texts(args.texts))
            lines = [
                "# Text labels: agreement with the stock pipeline",
                "",
                *(f"- {k}: {v}" for k, v in facts.items()),
            ]
            keep("text_agreement", "\n".join([*lines, ""]), facts=facts, out=args.out)
            return
        rates, more = compare_speed(folder, pick_texts(args.texts), rounds=args.rounds)
    facts |= {"rounds": args.rounds} | more | agree_demo(100)
    keep("text_labels", report(rates, facts), facts=facts, out=args.out, texts_per_second=rates)


if __name__ == "__main__":
    main()
