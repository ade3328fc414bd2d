"""Train the tiny CLIP of the demo: ``python -m facestats.demo.training.train_clip --out FOLDER``."""

from __future__ import annotations

import argparse
import logging
import math
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facestats.demo.records import OPTIONS
from facestats.demo.training.clip_card import score_options, write_card
from facestats.demo.training.rendered_views import load_views, render_views
from facestats.demo.training.tiny_clip import (
    SIZE,
    Anchors,
    build_model,
    encode_tokens,
    encode_truth,
    evaluate,
    read_prompts,
    save_model,
    scale,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

log = logging.getLogger(__name__)

SEED_TRAIN, SEED_EVAL = 1, 4242
BATCH = 64


def augment(images: np.ndarray, *, rng: np.random.Generator) -> torch.Tensor:
    """Shift and flip uint8 pictures (n, h, w, 3), change their brightness and colours slightly, and normalise them."""
    import torch

    out = np.empty_like(images)
    for k, image in enumerate(images):
        dx, dy = rng.integers(-5, 6, 2)
        moved = np.roll(image, (dy, dx), (0, 1))
        out[k] = moved[:, ::-1] if rng.random() < 0.5 else moved
    x = torch.from_numpy(out).permute(0, 3, 1, 2).float().div_(255)
    gain = rng.normal(1, 0.05, (len(x), 1, 1, 1)) * rng.normal(1, 0.012, (len(x), 3, 1, 1))
    return scale(x.mul_(torch.from_numpy(gain.astype(np.float32))).clamp_(0, 1))


def compute_loss(
    vectors: Mapping[str, torch.Tensor],
    anchors: Mapping[str, torch.Tensor],
    *,
    views: Mapping[str, str],
    truth: torch.Tensor,
    captions: torch.Tensor,
    factor: torch.Tensor,
) -> torch.Tensor:
    """Add up the cross-entropy of each attribute and the contrastive loss of whole pictures and captions.

    Parameters
    ----------
    vectors
        "face" and "full" to unit vectors, shape (n, dim).
    anchors
        Attribute to unit vectors of its options.
    views
        Attribute to the view that shows it.
    truth
        Option numbers of the batch, -1 for options that cannot be seen, shape (n, 9).
    captions
        Unit vectors of the captions of the whole pictures.
    factor
        Factor on cosines, learned by the model.

    Returns
    -------
    torch.Tensor
        The loss, a scalar.
    """
    import torch
    from torch.nn.functional import cross_entropy

    losses = [
        cross_entropy(
            factor * vectors[view] @ anchors[name].T,
            truth[:, k],
            ignore_index=-1,
            label_smoothing=0.03,
        )
        for k, (name, view) in enumerate((name, views[name]) for name in OPTIONS)
    ]
    logits = factor * vectors["full"] @ captions.T
    pairs = torch.arange(len(logits), device=logits.device)
    contrast = (cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2
    return torch.stack(losses).sum() + 0.15 * contrast


class Trainer:
    """Model, optimizer, running average and data of one training.

    Parameters
    ----------
    data
        Faces, pictures and records, as `load_views` gives them.
    prompts
        As `read_prompts` gives them.
    built
        Model and tokenizer, as `build_model` gives them.
    steps, minutes
        Training ends with the one that is reached first; the learning rate falls towards that end.
    rate
        Highest learning rate.
    """

    def __init__(
        self, data: tuple, prompts: Mapping, *, built: tuple, steps: int, minutes: float, rate: float
    ) -> None:
        import torch

        self.faces, self.pictures, self.records = data
        self.truth = encode_truth(self.records)
        self.steps, self.minutes, self.step = steps, minutes, 0
        self.model, self.tokenizer = built
        self.device = self.model.logit_scale.device.type
        self.anchors = Anchors(prompts, self.tokenizer, device=self.device)
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
        self.rate, self.start = rate, time.monotonic()
        self.average = torch.optim.swa_utils.AveragedModel(
            self.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98), use_buffers=True
        )
        self.rng = np.random.default_rng(0)

    @property
    def elapsed(self) -> float:
        """Minutes since the start."""
        return (time.monotonic() - self.start) / 60

    @property
    def progress(self) -> float:
        """Share of the training that is done, 0 to 1."""
        return max(self.step / self.steps, self.elapsed / self.minutes)

    def averaged(self) -> torch.nn.Module:
        """Return the running average of the model, which labels better than its latest state."""
        model = self.average.module
        model.attn_mask.copy_(self.model.attn_mask)  # the average of its infinities is NaN
        return model

    def run_epoch(self) -> float:
        """Train once on all characters; return the mean loss."""
        order = self.rng.permutation(len(self.records))
        parts = (order[k : k + BATCH] for k in range(0, len(order) - BATCH + 1, BATCH))
        losses = [self._run_step(rows) for rows in parts if self.progress < 1]
        return float(np.mean(losses))

    def _run_step(self, rows: np.ndarray) -> float:
        """Take one optimizer step on some characters, each as face and as whole picture."""
        import torch
        from torch.nn.functional import normalize

        from facestats.demo.writing.captions import write_caption

        self.model.train()
        crop = self.rng.integers(0, self.faces.shape[1], len(rows))
        both = np.concatenate([self.faces[rows, crop], self.pictures[rows, crop]])
        texts = [write_caption(self.records[k], self.rng).text for k in rows]
        with torch.autocast(self.device, dtype=torch.bfloat16):
            seen = self.model.encode_image(augment(both, rng=self.rng).to(self.device))
        seen = normalize(seen.float(), dim=-1)
        loss = compute_loss(
            {"face": seen[: len(rows)], "full": seen[len(rows) :]},
            self.anchors.encode(self.model, rng=self.rng),
            views=self.anchors.views,
            truth=torch.from_numpy(self.truth[rows]).to(self.device),
            captions=encode_tokens(self.model, self.tokenizer(texts).to(self.device)),
            factor=self.model.logit_scale.exp(),
        )
        fall = (1 + math.cos(math.pi * min(1.0, self.progress))) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (self.step + 1) / 60) * (0.01 + 0.99 * fall)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(50))
        self.average.update_parameters(self.model)
        self.step += 1
        if self.step % 10 == 0:
            log.info("step %d of %d, loss %.3f", self.step, self.steps, loss.item())
        return loss.item()


def train(arguments: argparse.Namespace) -> None:
    """Render and train; after every pass, score the model and write its weights and its card.

    Parameters
    ----------
    arguments
        Arguments of the command line.
    """
    import torch

    torch.set_num_threads(arguments.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    cache, out = Path(arguments.cache), Path(arguments.out)
    render_views(cache / "train", n=arguments.n, seed=SEED_TRAIN, size=SIZE)
    render_views(cache / "eval", n=arguments.n_eval, seed=SEED_EVAL, size=SIZE, style="eval")
    data = load_views(cache / "train")
    faces, pictures, records = load_views(cache / "eval")
    truth = encode_truth(records)
    held_out = {"face": faces[:, 0], "full": pictures[:, 0]}
    steps = arguments.epochs * (len(data[2]) // BATCH)
    prompts = read_prompts(Path(arguments.attributes))
    torch.manual_seed(0)
    built = build_model(device, weights=arguments.resume)
    trainer = Trainer(data, prompts, built=built, steps=steps, minutes=arguments.minutes, rate=arguments.rate)
    epoch = 0
    while trainer.progress < 1:
        loss, epoch = trainer.run_epoch(), epoch + 1
        model = trainer.averaged()
        guesses = evaluate(model, trainer.anchors, held_out, device=device)
        scores = score_options(guesses, truth)
        shown = {name: round(score.accuracy, 3) for name, score in scores.items()}
        log.info("pass %d, %.1f min, loss %.3f, %s", epoch, trainer.elapsed, loss, shown)
        save_model(model, out)
        made = f"Command: `{shlex.join(sys.orig_argv[1:])}`; {epoch} passes, {trainer.elapsed:.0f} minutes."
        write_card(
            out / "README.md",
            scores,
            characters=len(data[2]),
            made=made,
            seed=SEED_EVAL,
            scored="faces cut by true landmarks",
        )


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder for weights, configuration and card")
    parser.add_argument("--cache", default="data/demo/clip_views", help="folder for rendered views")
    parser.add_argument("--attributes", default="config/attributes.yaml", help="prompts")
    parser.add_argument("--n", type=int, default=4000, help="characters for training")
    parser.add_argument("--n-eval", type=int, default=1000, help="held-out characters")
    parser.add_argument("--epochs", type=int, default=30, help="passes over the characters")
    parser.add_argument("--minutes", type=float, default=55, help="most wall time for training")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--resume", type=Path, help="weights to start from, open_clip_model.safetensors")
    parser.add_argument("--threads", type=int, default=2, help="threads on a CPU")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
