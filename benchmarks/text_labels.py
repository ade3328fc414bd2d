"""Texts per second of `label_texts`, beside the stock zero-shot pipeline and the bare model, and what shortcuts cost.

One run, BART-large with random weights (real architecture, real speed, no meaning), nine attributes, 47 options:

- ours: `facestats.label_texts`, tokenising and all;
- bare: the same model in the same dtype on pairs that are tokenised, sorted by length, in batches of 32;
- stock: `transformers.pipeline("zero-shot-classification")` as its documentation shows it, in fp32;
- stock_16: the same with batch_size=16;
- copies: ours with ten copies of every text.

Then, with the demo's tiny BART and captions whose truth is known: what asking first and looking tags up first
change in speed, agreement and macro-F1.

    python benchmarks/text_labels.py --texts 12 --rounds 3

The result goes to benchmarks/results/ as Markdown and JSON, with date, git revision, machine and versions.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from common import RESULTS, describe_machine, keep, rate_table

import facestats as fs
from facestats.core.config import TextLabelsSettings
from facestats.demo.bart_card import draw_captions
from facestats.demo.nli import score_labels
from facestats.demo.tiny_bart import build_tokenizer
from facestats.models.runtime import pick_device, pick_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from facestats.core.config import AttributeSettings
    from facestats.demo.captions import Caption

ROOT = Path(__file__).parents[1]
BATCH = 32
COPIES = 10
SPREAD = 20.0  # of the classification head: brings logits of random weights to the size of trained ones
TARGETS = {"ours / stock": 5.0, "ours / stock_16": 2.5, "ours / bare": 0.8, "copies / ours": 9.0}
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "polars")


def save_random_bart(folder: Path, *, seed: int = 0) -> Path:
    """Save a randomly initialised BART-large (407 M parameters) for NLI, with a tokenizer that knows the captions."""
    import torch
    from transformers import BartConfig, BartForSequenceClassification

    torch.manual_seed(seed)
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    config = BartConfig(num_labels=3, id2label=labels, label2id={v: k for k, v in labels.items()})
    model = BartForSequenceClassification(config)
    model.classification_head.out_proj.weight.data *= SPREAD
    model.save_pretrained(folder)
    texts = [caption.text for caption in draw_captions(2000, seed=seed)]
    tokenizer = build_tokenizer(texts, vocab_size=4000)
    tokenizer.model_max_length = 1024
    tokenizer.save_pretrained(folder)
    return folder


def pick_texts(n: int) -> list[str]:
    """Distinct captions of 8 to 40 words."""
    found = dict.fromkeys(c.text for c in draw_captions(20 * n, seed=1) if 8 <= len(c.text.split()) <= 40)
    return list(found)[:n]


def as_captions(texts: list[str]) -> pl.DataFrame:
    """Number texts into a frame for the stage."""
    return pl.DataFrame({"image_id": [str(i) for i in range(len(texts))], "text": texts})


def stock_pipeline(
    folder: Path, texts: list[str], attributes: dict[str, AttributeSettings], **options: Any
) -> Callable[[], dict[str, np.ndarray]]:
    """Return the stock way: one call per attribute, its options as candidate labels; probabilities in our order."""
    import torch
    from transformers import pipeline

    device = 0 if torch.cuda.is_available() else "cpu"
    classifier = pipeline(
        "zero-shot-classification", model=str(folder), device=device, dtype=torch.float32, **options
    )

    def run() -> dict[str, np.ndarray]:
        probs = {}
        for name, attribute in attributes.items():
            labels = [option.text[0] for option in attribute.options.values()]
            results = classifier(texts, labels, hypothesis_template=attribute.text_templates[0])
            scored = [dict(zip(r["labels"], r["scores"], strict=True)) for r in results]
            probs[name] = np.array([[by_label[label] for label in labels] for by_label in scored])
        return probs

    return run


def bare_model(folder: Path, texts: list[str], hypotheses: list[str], precision: str) -> Callable[[], None]:
    """Return the bare model on perfectly sorted batches: nothing but forward passes is timed."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval().to(device)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pairs = [(t, h) for t in texts for h in hypotheses]
    lengths = np.argsort([len(ids) for ids in tokenizer(*map(list, zip(*pairs, strict=True)))["input_ids"]])
    size = BATCH if device == "cpu" else 16 * BATCH
    parts = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    batches = [
        tokenizer([pairs[i][0] for i in part], [pairs[i][1] for i in part], padding=True, return_tensors="pt")
        for part in parts
    ]
    ready = [batch.to(device) for batch in batches]

    def run() -> None:
        with torch.inference_mode():
            for batch in ready:
                model(**batch).logits.float().cpu()

    return run


def clock(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of one call, and its result."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def compare_speed(
    folder: Path, texts: list[str], *, rounds: int
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Texts per second of every way, rounds interleaved (the stock ways are slow and run once), and agreement."""
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
    """Compare labels alone, ours in bf16 with stock in fp32: BART-large of random weights, and the demo's model."""
    cfg = fs.load_config(ROOT / "config/default.yaml")
    stock = stock_pipeline(folder, texts, cfg.attributes, batch_size=16)()
    bart = fs.models.bart(TextLabelsSettings(model=str(folder), precision="bf16"))
    with bf16_arithmetic() as how:
        labels = fs.label_texts(as_captions(texts), bart, cfg.attributes)
    return {"ours": how} | agree(labels, stock) | agree_demo(100)


@contextmanager
def bf16_arithmetic() -> Iterator[str]:
    """Where the processor has no bf16 instructions, do what they do: sums in fp32, results rounded to bf16.

    Torch's own way on such a processor is a loop that takes hours.
    """
    from torch.nn import functional

    if pick_precision("auto", pick_device("auto"))[0] == "bf16":
        yield "bf16"
        return
    linear, attention = functional.linear, functional.scaled_dot_product_attention

    def in_fp32(func: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            def up(value: Any) -> Any:
                return (
                    value.float()
                    if hasattr(value, "is_floating_point") and value.is_floating_point()
                    else value
                )

            return func(*map(up, args), **{k: up(v) for k, v in kwargs.items()}).to(args[0].dtype)

        return call

    functional.linear, functional.scaled_dot_product_attention = in_fp32(linear), in_fp32(attention)
    try:
        yield "bf16, its products computed in fp32 and rounded, because this processor has no bf16"
    finally:
        functional.linear, functional.scaled_dot_product_attention = linear, attention


def agree_demo(n: int) -> dict[str, Any]:
    """The same comparison for the demo's trained model, on captions that it understands."""
    cfg = fs.load_config(ROOT / "config/demo.yaml")
    texts = [c.text for c in draw_captions(n, seed=5)]
    labels = fs.label_texts(as_captions(texts), fs.models.bart(cfg.text_labels), cfg.attributes)
    stock = stock_pipeline(Path(cfg.text_labels.model), texts, cfg.attributes, batch_size=16)
    return {f"demo model: {key}": value for key, value in agree(labels, stock()).items()}


def agree(labels: pl.DataFrame, probs: dict[str, np.ndarray], *, margin: float = 0.02) -> dict[str, Any]:
    """Compare our best options with the stock pipeline's, where its margin exceeds `margin`."""
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


def compare_ways(n: int) -> pl.DataFrame:
    """Speed, agreement and macro-F1 of each way to label `n` held-out demo captions with the demo model."""
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


def _by_embedding(frame: pl.DataFrame, clip: Any, attributes: dict[str, AttributeSettings]) -> pl.DataFrame:
    labels = fs.label_attributes(fs.embed_texts(frame, clip), clip, attributes)
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


def report(rates: dict[str, list[float]], facts: dict[str, Any], ways: pl.DataFrame) -> str:
    """Write the result as Markdown."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    lines = ["# Text labels: texts per second, BART-large, nine attributes", ""]
    lines += rate_table(rates)
    lines.append("")
    for target, wanted in TARGETS.items():
        above, _, below = target.partition(" / ")
        ratio = medians[above] / medians[below]
        lines.append(f"- {target}: {ratio:.2f}, target {wanted}: {'met' if ratio >= wanted else 'NOT met'}")
    lines += ["", *(f"- {key}: {value}" for key, value in facts.items()), ""]
    lines += [
        "## Ways to label the demo's captions",
        "",
        "Tiny model, held-out captions; macro-F1 over options and 'not said'.",
        "",
    ]
    lines += ["| " + " | ".join(ways.columns) + " |", "|--" * ways.width + "|"]
    lines += [
        "| " + " | ".join(v if isinstance(v, str) else f"{v:.3f}" for v in row) + " |"
        for row in ways.iter_rows()
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Run the comparison and store it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--agreement", action="store_true", help="only compare labels with the stock pipeline's"
    )
    parser.add_argument("--captions", type=int, default=1000, help="demo captions for the comparison of ways")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    facts = {**describe_machine(PACKAGES), "texts": args.texts, "rounds": args.rounds}
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
    ways = compare_ways(args.captions)
    facts |= more | agree_demo(100)
    text = report(rates, facts, ways)
    keep("text_labels", text, facts=facts, out=args.out, texts_per_second=rates, ways=ways.to_dicts())


if __name__ == "__main__":
    main()
