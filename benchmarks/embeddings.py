"""Measure pictures per second of `embed_faces`, of the bare model, and of the usual transformers loop.

All are measured in one run with interleaved rounds, with a ViT-B/32 of random weights (the real architecture and speed):

- ours: `facestats.embed_faces` over crops on disk, face view, including decoding;
- bare: the same open_clip model in the same dtype, on tensors that are already prepared;
- bare_mixed: the same with open_clip's own ``precision="bf16"`` (layer norms in fp32), where ours is bf16;
- loop_1, loop_32: `transformers.CLIPModel` in fp32 with its own processor, pictures opened with Pillow, batches of 1 and 32.

    python benchmarks/embeddings.py --n 256 --rounds 5

The result goes to benchmarks/results/ as Markdown and JSON, with date, git revision, machine and versions.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from common import RESULTS, describe_machine, keep, rate_table
from PIL import Image
from random_clip import save_random_clip

from facestats.core.config import EmbeddingsSettings
from facestats.core.tables import STATUS
from facestats.embeddings.embed import embed_faces
from facestats.models import clip

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 64
TARGETS = {"ours / bare": 0.85, "ours / loop_32": 1.8}
PACKAGES = ("torch", "open_clip_torch", "transformers", "numpy", "pillow", "polars")
LOOP_PICTURES = 64  # the loops are slow, and their rate does not depend on the number


def draw_crops(folder: Path, *, n: int, suffix: str, seed: int = 0) -> None:
    """Draw `n` pictures of 512 x 512 pixels that compress about as faces do: soft shapes with grain."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        soft = Image.fromarray(rng.integers(40, 220, (12, 12, 3), dtype=np.uint8)).resize((512, 512))
        grain = rng.normal(0, 1.5, (512, 512, 1))
        pixels = np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05d}{suffix}", quality=95)


def list_runs(crops: Path, checkpoint: Path) -> tuple[dict[str, Callable[[], None]], dict[str, Any]]:
    """Return the functions to time, by name, and facts about them."""
    import open_clip
    import torch

    files = sorted(crops.iterdir())
    encoder = clip(EmbeddingsSettings(model=f"local-dir:{checkpoint}", batch_size=BATCH))
    precision = encoder.name.rpartition(" ")[2]
    names = [f.name for f in files]
    faces = pl.DataFrame({"image_id": names, "crop": names}).with_columns(
        status=pl.lit("ok", dtype=STATUS), error=pl.lit(None, dtype=pl.String)
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]
    modes = {"bare": "fp32" if precision == "fp32" else f"pure_{precision}", "bare_mixed": precision}
    tensors = torch.rand(len(files), 3, 224, 224).to(device=device, dtype=dtype)

    def bare(model: Any) -> None:
        with torch.inference_mode():
            for part in tensors.split(BATCH):
                model.encode_image(part).float().cpu()

    runs: dict[str, Callable[[], None]] = {
        "ours": lambda: _check(embed_faces(faces, encoder, crops, batch_size=BATCH))
    }
    for name, mode in modes.items():
        if name == "bare" or precision != "fp32":
            model = open_clip.create_model(f"local-dir:{checkpoint}", precision=mode, device=device).eval()
            runs[name] = lambda model=model: bare(model)
    loop = _transformers_loop(files[:LOOP_PICTURES], device)
    runs |= {"loop_1": lambda: loop(1), "loop_32": lambda: loop(32)}
    kilobytes = statistics.mean(f.stat().st_size for f in files) / 1000
    return runs, {
        "encoder": encoder.precision_reason,
        "crops": f"{files[0].suffix}, {kilobytes:.0f} kB on average",
    }


def _check(table: pl.DataFrame) -> None:
    if table["embedding"].null_count():
        msg = f"not every crop was embedded: {table['error'].drop_nulls().to_list()[:3]}"
        raise RuntimeError(msg)


def _transformers_loop(files: list[Path], device: str) -> Callable[[int], None]:
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    model = CLIPModel(CLIPConfig()).eval().to(device)
    processor = CLIPImageProcessor()

    def loop(batch_size: int) -> None:
        with torch.no_grad():
            for start in range(0, len(files), batch_size):
                images = [Image.open(file).convert("RGB") for file in files[start : start + batch_size]]
                model.get_image_features(**processor(images=images, return_tensors="pt").to(device))

    return loop


def measure(runs: dict[str, Callable[[], None]], *, n: int, rounds: int) -> dict[str, list[float]]:
    """Time every run once per round, in turn, after a warm-up round; return pictures per second."""
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            counted = min(n, LOOP_PICTURES) if name.startswith("loop") else n
            rate = counted / (time.perf_counter() - start)
            print(
                f"round {number} {name:12} {rate:8.1f} pictures/s" + ("" if number else "  (warm-up)"),
                flush=True,
            )
            if number:
                rates[name].append(rate)
    return rates


def report(rates: dict[str, list[float]], facts: dict[str, Any]) -> str:
    """Write the result as Markdown."""
    medians = {name: statistics.median(values) for name, values in rates.items()}
    lines = ["# Embeddings: pictures per second", "", *rate_table(rates)]
    lines.append("")
    for target, wanted in TARGETS.items():
        ratio = medians["ours"] / medians[target.rpartition(" ")[2]]
        lines.append(f"- {target}: {ratio:.2f}, target {wanted}: {'met' if ratio >= wanted else 'NOT met'}")
    lines += ["", *(f"- {key}: {value}" for key, value in facts.items()), ""]
    return "\n".join(lines)


def main() -> None:
    """Run the comparison and store it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--n", type=int, default=512, help=f"pictures per round; the loops take {LOOP_PICTURES} of them"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--suffix", default=".jpg", choices=[".jpg", ".png", ".webp"], help="format of drawn crops"
    )
    parser.add_argument("--crops", type=Path, help="folder of aligned crops to use instead of drawn ones")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        crops = Path(temporary, "crops")
        crops.mkdir()
        if args.crops is None:
            draw_crops(crops, n=args.n, suffix=args.suffix)
        else:
            found = [f for f in sorted(args.crops.rglob("*")) if f.is_file()]
            for i in range(args.n):
                Path(crops, f"{i:05d}{found[i % len(found)].suffix}").symlink_to(
                    found[i % len(found)].resolve()
                )
        runs, facts = list_runs(crops, save_random_clip(Path(temporary, "clip")))
        facts = {**describe_machine(PACKAGES), "pictures": args.n, "rounds": args.rounds, **facts}
        rates = measure(runs, n=args.n, rounds=args.rounds)
    keep("embeddings", report(rates, facts), facts=facts, out=args.out, pictures_per_second=rates)


if __name__ == "__main__":
    main()
