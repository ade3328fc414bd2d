"""Measure the memory of labelling few and many captions, and check the table after a kill.

    python benchmarks/stream_captions.py --few 10000 --many 100000

Writes captions to Parquet, labels them through `Store.build` from a lazy frame, each run in its own process, and reports
peak memory. Then it kills a run (SIGKILL) half-way, runs it again, and compares the table with that of a run that was not
killed. The model is a BART of one narrow layer with random weights, so that everything but the model is measured.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from common import RESULTS, describe_machine, keep

import facestats as fs
from facestats.core.config import TextLabelsSettings
from facestats.demo.training.bart_card import draw_captions
from facestats.demo.training.tiny_bart import build_tokenizer

ROOT = Path(__file__).parents[1]
CHUNK = 1000
ATTRIBUTES = (
    "age",
    "hair_color",
)  # two of nine are enough: the number of pairs per caption does not matter here
TOLERANCE = 1.03  # two runs of the same size differ by about this factor


def save_narrow_bart(folder: Path) -> Path:
    """Save an NLI model that takes almost no time."""
    import torch
    from transformers import BartConfig, BartForSequenceClassification

    torch.manual_seed(0)
    labels = {0: "contradiction", 1: "neutral", 2: "entailment"}
    size = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 1, "decoder_attention_heads": 1}
    tokenizer = build_tokenizer([c.text for c in draw_captions(2000, seed=0)])
    config = BartConfig(
        vocab_size=len(tokenizer),
        encoder_layers=1,
        decoder_layers=1,
        max_position_embeddings=160,
        init_std=0.5,
        num_labels=3,
        id2label=labels,
        label2id={v: k for k, v in labels.items()},
        **size,
        **heads,
    )
    BartForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_captions(file: Path, n: int) -> None:
    """Write `n` captions, most of them distinct, to Parquet in row groups."""
    texts = [c.text for c in draw_captions(min(n, 2000), seed=3)]
    rows = {
        "image_id": [f"{i:07d}" for i in range(n)],
        "text": [f"{texts[i % len(texts)]}, number {i // len(texts)}" for i in range(n)],
    }
    pl.DataFrame(rows).write_parquet(file, row_group_size=5000)


def label(captions: Path, model: Path, out: Path) -> None:
    """Label all captions of a file, and print the peak memory in MiB."""
    cfg = fs.load_config(ROOT / "config/demo.yaml")
    bart = fs.models.bart(TextLabelsSettings(model=str(model), precision="fp32"))
    stage = {"classifier": bart, "attributes": {name: cfg.attributes[name] for name in ATTRIBUTES}}
    fs.Store(out).build(
        "text_labels", pl.scan_parquet(captions), fs.label_texts, chunk_size=CHUNK, progress=False, **stage
    )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def start(captions: Path, model: Path, out: Path) -> subprocess.Popen[str]:
    """Start :func:`label` in its own process."""
    command = [sys.executable, __file__, "--label", *map(str, (captions, model, out))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> int:
    """Wait for a run and return its peak memory in MiB."""
    output, _ = process.communicate()
    if process.returncode:
        msg = f"labelling ended with {process.returncode}"
        raise RuntimeError(msg)
    return int(output.split()[-1])


def kill_half_way(process: subprocess.Popen[str], out: Path, n_chunks: int) -> int:
    """Kill a run when half of its chunks are written; return the number of chunks."""
    while process.poll() is None:
        done = len(list(out.rglob("chunk-*.parquet")))
        if done >= n_chunks // 2:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return done
        time.sleep(0.05)
    msg = "the run ended before it could be killed"
    raise RuntimeError(msg)


def main() -> int:
    """Run all of it and store the result; return 1 if memory grows or the tables differ."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000)
    parser.add_argument("--label", nargs=3, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    if args.label:
        label(*args.label)
        return 0
    facts = describe_machine(("torch", "transformers", "polars"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model = save_narrow_bart(folder / "bart")
        peaks, seconds = {}, {}
        for name, n in (("few", args.few), ("many", args.many)):
            write_captions(folder / f"{name}.parquet", n)
            begun = time.perf_counter()
            peaks[name] = finish(start(folder / f"{name}.parquet", model, folder / name))
            seconds[name] = time.perf_counter() - begun
            print(f"{n} captions: {peaks[name]} MiB, {seconds[name]:.0f} s", flush=True)
        again = folder / "again"
        done = kill_half_way(start(folder / "few.parquet", model, again), again, args.few // CHUNK)
        finish(start(folder / "few.parquet", model, again))
        tables = [fs.Store(folder / name).read("text_labels") for name in ("few", "again")]
        same = tables[0].equals(tables[1])
    ratio = peaks["many"] / peaks["few"]
    lines = [
        "# Captions streamed: memory, and a kill",
        "",
        "| captions | peak memory, MiB | seconds |",
        "|--|--|--|",
        *(f"| {getattr(args, name):,} | {peaks[name]} | {seconds[name]:.0f} |" for name in peaks),
        "",
        f"- memory of many / few: {ratio:.3f}, limit {TOLERANCE}: {'met' if ratio <= TOLERANCE else 'NOT met'}",
        f"- killed after {done} of {args.few // CHUNK} chunks and run again: {'identical' if same else 'DIFFERENT'}",
        "",
        *(f"- {key}: {value}" for key, value in facts.items()),
    ]
    keep("stream_captions", "\n".join([*lines, ""]), facts=facts, out=args.out, peaks=peaks, seconds=seconds)
    return 0 if same and ratio <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
