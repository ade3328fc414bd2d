"""Train the tiny BART of the demo, which reads captions: `python -m facestats.demo.training.train_bart --out DIR`."""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.training.bart_card import EVAL_SEED, draw_captions, score_with, write_card
from facestats.demo.training.caption_noise import NEUTRAL, roughen
from facestats.demo.training.nli import Hypothesis, evaluate, judge, read_hypotheses
from facestats.demo.training.tiny_bart import (
    MAX_TOKENS,
    build_helpers,
    build_model,
    build_tokenizer,
    training_loss,
)
from facestats.demo.writing.captions import write_caption
from facestats.demo.writing.people import draw_record

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from transformers import PreTrainedTokenizerFast

_log = logging.getLogger(__name__)
_POOL = 2048
_BATCH = 128
# Training begins with short captions: from this share of the training on, captions of up to so many tokens.
_LENGTHS = {0.0: 24, 0.12: 48, 0.25: MAX_TOKENS}


def _choose(truth: np.ndarray, rng: np.random.Generator) -> list[int]:
    """Draw three hypotheses for one caption: 34 % entailed, 26 % contradicted, the rest neutral."""
    kinds = [np.flatnonzero(truth == label) for label in (0, 1, 2)]
    chosen = []
    for share in rng.random(3):
        label = 2 if share < 0.34 else 0 if share < 0.6 else 1
        found = kinds[label] if len(kinds[label]) else np.arange(len(truth))
        chosen.append(int(found[int(rng.random() * len(found))]))
    return chosen


def _batches(
    tokenizer: PreTrainedTokenizerFast,
    hypotheses: Sequence[Hypothesis],
    *,
    rng: np.random.Generator,
    longest: int,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Yield batches of new pairs of similar length: token ids, premise lengths, hypothesis, truth of all hypotheses."""
    seconds = [ids[1:] for ids in tokenizer([h.text for h in hypotheses])["input_ids"]]
    while True:
        captions = [write_caption(draw_record(rng, split="train"), rng) for _ in range(_POOL)]
        firsts = tokenizer(
            [roughen(c.text, rng, tags=c.kind == "tags") for c in captions],
            truncation=True,
            max_length=MAX_TOKENS - 16,
        )
        firsts = firsts["input_ids"]
        fitting = [i for i, first in enumerate(firsts) if len(first) <= longest]
        captions, firsts = [captions[i] for i in fitting], [firsts[i] for i in fitting]
        truths = np.array([[judge(c, h) for h in hypotheses] for c in captions])
        pairs = [
            (first, j, truth)
            for first, truth in zip(firsts, truths, strict=True)
            for j in _choose(truth, rng)
        ]
        pairs.sort(key=lambda pair: len(pair[0]) + len(seconds[pair[1]]))
        starts = list(range(0, len(pairs), _BATCH))
        rng.shuffle(starts)
        for start in starts:
            part = pairs[start : start + _BATCH]
            rows = [[*first, 2, *seconds[j]] for first, j, _ in part]
            ids = np.full((len(rows), max(map(len, rows))), 1)
            for row, tokens in zip(ids, rows, strict=True):
                row[: len(tokens)] = tokens
            yield (
                ids,
                np.array([len(p[0]) for p in part]),
                np.array([p[1] for p in part]),
                np.stack([p[2] for p in part]),
            )


def train(
    out: Path, *, attributes: Path, seed: int = 0, n_pairs: int = 900_000, peak_rate: float = 2e-3
) -> None:
    """Train from scratch on new captions, and write weights and tokenizer.

    Parameters
    ----------
    out
        Folder to write; it is saved every four minutes, so that training can be stopped at any time.
    attributes
        The attribute file with the hypotheses.
    seed
        Seed of weights and captions.
    n_pairs
        Number of (caption, hypothesis) pairs to train on.
    peak_rate
        Highest learning rate.
    """
    options = read_hypotheses(attributes)
    hypotheses = read_hypotheses(attributes, questions=True)
    texts = [caption.text for caption in draw_captions(20_000, seed=seed, split="train")]
    tokenizer = build_tokenizer([*texts, *NEUTRAL * 20, *[h.text for h in hypotheses] * 50])
    learner = _Learner(tokenizer, n_hypotheses=len(hypotheses), seed=seed, rate=peak_rate)
    steps = n_pairs // _BATCH
    starts = {int(share * steps): longest for share, longest in _LENGTHS.items()}
    held_out = draw_captions(100, seed=EVAL_SEED + 1)
    begun = saved = time.monotonic()
    sums = np.zeros(4)
    for step in range(steps):
        if step in starts:
            rng = np.random.default_rng([seed, 2, step])
            batches = _batches(tokenizer, hypotheses, rng=rng, longest=starts[step])
        sums += learner.learn(next(batches), progress=step / steps)
        if (step + 1) % 100 == 0:
            shown = "step %d of %d, %.0f s: pair %.3f, all %.3f, which %.3f, guide %.3f"
            _log.info(shown, step + 1, steps, time.monotonic() - begun, *sums / 100)
            sums[:] = 0
        if time.monotonic() - saved > 240 or step + 1 == steps:
            model = learner.average.module[0].eval()
            scores = evaluate(score_with(model, tokenizer), held_out, hypotheses=options)
            found = scores["all"]["mean"]["macro_f1"]
            _log.info("macro-F1 on %d held-out captions: %.3f", len(held_out), found)
            _save(model, tokenizer, out)
            saved = time.monotonic()


class _Learner:
    """Model, auxiliary heads and optimizer: passes run in bfloat16 if that is fast, weights stay in full precision."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, *, n_hypotheses: int, seed: int, rate: float
    ) -> None:
        import torch

        model = build_model(len(tokenizer), seed=seed)
        both = torch.nn.ModuleList([model, build_helpers(model.config.d_model, n_hypotheses)])
        gpu = torch.cuda.is_available()
        fast = gpu or torch.cpu.get_capabilities().get("amx_bf16", False)
        self.weights = both.to("cuda" if gpu else "cpu")
        self.worker = copy.deepcopy(both).to(torch.bfloat16 if fast else torch.float32)
        self.optimizer = torch.optim.AdamW(both.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        mean = torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
        self.average = torch.optim.swa_utils.AveragedModel(both, multi_avg_fn=mean)
        self.rate, self.steps = rate, 0

    def learn(self, batch: tuple, *, progress: float) -> list[float]:
        """Take one step; return the parts of the loss."""
        import torch

        # In the last 40 % of the training, the auxiliary heads count less.
        loss, *parts = training_loss(
            self.worker[0], self.worker[1], batch, help_share=1.0 if progress < 0.6 else 0.3
        )
        loss.backward()
        for weight, low in zip(self.weights.parameters(), self.worker.parameters(), strict=True):
            weight.grad = None if low.grad is None else low.grad.to(weight.dtype)
            low.grad = None
        torch.nn.utils.clip_grad_norm_(self.weights.parameters(), 1.0)
        self.steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = (
                self.rate * min(1.0, self.steps / 300) * max(0.5 + 0.5 * math.cos(math.pi * progress), 0.01)
            )
        self.optimizer.step()
        with torch.no_grad():
            for weight, low in zip(self.weights.parameters(), self.worker.parameters(), strict=True):
                low.copy_(weight)
        self.average.update_parameters(self.weights)
        return [part.item() for part in parts]


def _save(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write weights in half precision as safetensors, and the tokenizer."""
    copy.deepcopy(model).cpu().half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    # This class name is known to transformers 4 and 5.
    settings = out / "tokenizer_config.json"
    known = json.loads(settings.read_text(encoding="utf-8")) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Train, then score on held-out captions and write the model card; with `--card`, only score and write."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--attributes", type=Path, default=Path("config/attributes.yaml"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=900_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--card", action="store_true")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(args.threads)
    if not args.card:
        train(args.out, attributes=args.attributes, seed=args.seed, n_pairs=args.pairs)
    write_card(args.out, attributes=args.attributes, seed=args.seed, n_pairs=args.pairs)


if __name__ == "__main__":
    main()
