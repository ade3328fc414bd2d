"""Trains the tiny CLIP of the demo world: ``python -m facestats.demo.train_clip --out FOLDER``."""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.demo.clip_card import score_options, write_card
from facestats.demo.records import OPTIONS
from facestats.demo.views import load_views, render_views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

log = logging.getLogger(__name__)

SIZE = 176
SEED_TRAIN, SEED_EVAL = 1, 4242
BATCH = 64
MODEL = {
    "embed_dim": 128,
    "vision_cfg": {
        "timm_model_name": "resnet10t",
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": SIZE,
    },
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 40, "heads": 4, "layers": 2},
}
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def read_prompts(path: Path) -> dict[str, tuple[str, list[list[str]]]]:
    """Read the view and, for each option, the filled prompts of every attribute.

    Parameters
    ----------
    path
        `config/attributes.yaml`.

    Returns
    -------
    dict
        Attribute to (view, prompts of each option).
    """
    import yaml

    found = {}
    for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
        prompts = [
            [template.format(phrase) for template in entry["image_templates"] for phrase in option["image"]]
            for option in entry["options"].values()
        ]
        found[name] = (entry["view"], prompts)
    return found


class Anchors:
    """Vectors of all options, made from their prompts as labelling makes them.

    Parameters
    ----------
    prompts
        As `read_prompts` gives them.
    tokenizer
        The standard tokenizer.
    device
        Where the tokens live.
    """

    def __init__(
        self, prompts: Mapping[str, tuple[str, list[list[str]]]], tokenizer: Any, *, device: str
    ) -> None:
        self.views = {name: view for name, (view, _) in prompts.items()}
        self.spans = [(name, len(option)) for name, (_, options) in prompts.items() for option in options]
        texts = [text for _, options in prompts.values() for option in options for text in option]
        self.tokens = tokenizer(texts).to(device)

    def encode(self, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        """Average the unit vectors of each option's prompts; unit vectors of shape (options, dim) by attribute."""
        import torch
        from torch.nn.functional import normalize

        vectors = (
            model.encode_text(self.tokens, normalize=True).float().split([count for _, count in self.spans])
        )
        found: dict[str, list[torch.Tensor]] = {}
        for (name, _), part in zip(self.spans, vectors, strict=True):
            found.setdefault(name, []).append(part.mean(0))
        return {name: normalize(torch.stack(parts), dim=-1) for name, parts in found.items()}


def encode_truth(records: Sequence[Mapping[str, str | None]]) -> np.ndarray:
    """Number each record's options, -1 where unseen; int64 of shape (n, 9)."""
    return np.array(
        [[OPTIONS[name].index(r[name]) if r[name] is not None else -1 for name in OPTIONS] for r in records]
    )


def augment(images: torch.Tensor, *, generator: torch.Generator, size: int) -> torch.Tensor:
    """Normalise uint8 pictures (n, h, w, 3), with small shifts, flips, light and noise, at edge `size`."""
    import torch
    from torch.nn.functional import interpolate

    x = images.permute(0, 3, 1, 2).float() / 255
    n = len(x)
    flip = torch.rand(n, generator=generator) < 0.5
    x[flip] = x[flip].flip(-1)
    for k, (dx, dy) in enumerate(torch.randint(-5, 6, (n, 2), generator=generator).tolist()):
        x[k] = x[k].roll((dy, dx), (-2, -1))
    gain = 1 + 0.05 * torch.randn(n, 1, 1, 1, generator=generator)
    tone = 1 + 0.012 * torch.randn(n, 3, 1, 1, generator=generator)
    x = (x * gain * tone + 0.012 * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    if size != x.shape[-1]:
        x = interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
    return scale(x)


def scale(x: torch.Tensor) -> torch.Tensor:
    """Subtract the mean and divide by the deviation that the model's configuration names."""
    import torch

    mean, std = (torch.tensor(PREPROCESS[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def compute_loss(
    vectors: Mapping[str, torch.Tensor],
    anchors: Mapping[str, torch.Tensor],
    *,
    views: Mapping[str, str],
    truth: torch.Tensor,
    captions: torch.Tensor,
    factor: torch.Tensor,
) -> torch.Tensor:
    """Add a softmax for each attribute over its options to a contrastive loss of whole pictures and captions.

    Parameters
    ----------
    vectors
        "face" and "full" to unit vectors, shape (n, dim).
    anchors
        Attribute to unit vectors of its options.
    views
        Attribute to the view that shows it.
    truth
        Options of the batch, -1 where unseen, shape (n, 9).
    captions
        Unit vectors of the captions, shape (n, dim).
    factor
        The model's scale of cosines.

    Returns
    -------
    torch.Tensor
        The loss, a scalar.
    """
    import torch
    from torch.nn.functional import cross_entropy

    losses = [
        cross_entropy(
            factor * vectors[views[name]] @ anchors[name].T,
            truth[:, k],
            ignore_index=-1,
            label_smoothing=0.03,
        )
        for k, name in enumerate(OPTIONS)
    ]
    logits = factor * vectors["full"] @ captions.T
    pairs = torch.arange(len(logits), device=logits.device)
    contrast = (cross_entropy(logits, pairs) + cross_entropy(logits.T, pairs)) / 2
    return torch.stack(losses).sum() + 0.15 * contrast


def build_model(device: str) -> tuple[torch.nn.Module, Any]:
    """Make the untrained model and its tokenizer with open_clip's own classes."""
    import open_clip
    import torch

    model = open_clip.CLIP(**MODEL) if "timm_model_name" in MODEL["vision_cfg"] else None
    return model.to(device, memory_format=torch.channels_last), open_clip.SimpleTokenizer(context_length=77)


def evaluate(
    model: torch.nn.Module,
    anchors: Anchors,
    views: tuple[np.ndarray, np.ndarray],
    truth: np.ndarray,
    *,
    device: str,
) -> dict[str, np.ndarray]:
    """Label held-out characters; int64 predictions by attribute, shape (n,)."""
    import torch
    from torch.nn.functional import normalize

    model.eval()
    with torch.inference_mode():
        options = anchors.encode(model)
        vectors = {}
        for view, images in zip(("face", "full"), views, strict=True):
            parts = [
                scale(torch.from_numpy(images[k : k + 64, 0]).permute(0, 3, 1, 2).float() / 255)
                for k in range(0, len(truth), 64)
            ]
            vectors[view] = torch.cat(
                [normalize(model.encode_image(p.to(device)).float(), dim=-1) for p in parts]
            )
        return {
            name: (vectors[anchors.views[name]] @ options[name].T).argmax(1).cpu().numpy() for name in OPTIONS
        }


def save_model(model: torch.nn.Module, folder: Path) -> None:
    """Write what `open_clip` loads through ``local-dir:``: half-precision weights and configuration."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.half().contiguous() if value.dtype == torch.float32 else value.contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(weights, str(folder / "open_clip_model.safetensors"))
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


class Trainer:
    """Model, optimizer, running average and data of one training.

    Parameters
    ----------
    data
        Faces, pictures and records, as `load_views` gives them.
    prompts
        As `read_prompts` gives them.
    device
        "cpu" or "cuda".
    steps
        Steps of the whole training, for the learning rate.
    rate
        Highest learning rate.
    """

    def __init__(self, data: tuple, prompts: Mapping, *, device: str, steps: int, rate: float = 2e-3) -> None:
        import torch

        torch.manual_seed(0)
        self.faces, self.pictures, self.records = data
        self.truth = encode_truth(self.records)
        self.device, self.steps, self.step = device, steps, 0
        self.model, self.tokenizer = build_model(device)
        self.anchors = Anchors(prompts, self.tokenizer, device=device)
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda k: (
                min(1.0, (k + 1) / 100) * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, k / steps))) / 2)
            ),
        )
        self.average = torch.optim.swa_utils.AveragedModel(
            self.model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.98), use_buffers=True
        )
        self.rng = np.random.default_rng(0)
        self.generator = torch.Generator().manual_seed(0)

    def run_epoch(self, size: int) -> float:
        """Train once over all characters at an edge of `size` pixels; the mean loss."""
        order = self.rng.permutation(len(self.records))
        losses = [self._run_step(order[k : k + BATCH], size) for k in range(0, len(order) - BATCH + 1, BATCH)]
        return float(np.mean(losses))

    def _run_step(self, rows: np.ndarray, size: int) -> float:
        """Take one optimizer step on some characters, each seen as face and as whole picture."""
        import torch
        from torch.nn.functional import normalize

        from facestats.demo.captions import write_caption

        self.model.train()
        crop = self.rng.integers(0, self.faces.shape[1], len(rows))
        both = np.concatenate([self.faces[rows, crop], self.pictures[rows, crop]])
        images = augment(torch.from_numpy(both), generator=self.generator, size=size).to(self.device)
        texts = [write_caption(self.records[k], self.rng).text for k in rows]
        tokens = self.tokenizer(texts).to(self.device)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            seen = self.model.encode_image(images)
        seen = normalize(seen.float(), dim=-1)
        loss = compute_loss(
            {"face": seen[: len(rows)], "full": seen[len(rows) :]},
            self.anchors.encode(self.model),
            views=self.anchors.views,
            truth=torch.from_numpy(self.truth[rows]).to(self.device),
            captions=self.model.encode_text(tokens, normalize=True).float(),
            factor=self.model.logit_scale.exp(),
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimizer.step()
        self.schedule.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(50))
        self.average.update_parameters(self.model)
        self.step += 1
        if self.step % 10 == 0:
            log.info("step %d of %d, loss %.3f", self.step, self.steps, loss.item())
        return loss.item()


def train(arguments: argparse.Namespace) -> None:
    """Render, train, score after every pass and keep the weights of the last.

    Parameters
    ----------
    arguments
        As the command line gives them.
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
    sizes = [128] * arguments.small + [SIZE] * (arguments.epochs - arguments.small)
    steps = len(sizes) * (len(data[2]) // BATCH)
    trainer = Trainer(data, read_prompts(Path(arguments.attributes)), device=device, steps=steps)
    start = time.monotonic()
    for epoch, size in enumerate(sizes, 1):
        loss = trainer.run_epoch(size)
        model = trainer.average.module
        guesses = evaluate(model, trainer.anchors, (faces, pictures), truth, device=device)
        scores = score_options(guesses, truth)
        minutes = (time.monotonic() - start) / 60
        log.info("pass %d at %d px, %.1f min, loss %.3f, %s", epoch, size, minutes, loss,
                 {name: round(score.accuracy, 3) for name, score in scores.items()})  # fmt: skip
        save_model(model, out)
        write_card(out / "README.md", scores, characters=len(data[2]), epochs=epoch, minutes=minutes)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder for weights, configuration and card")
    parser.add_argument("--cache", default="data/demo/clip_views", help="folder for rendered views")
    parser.add_argument("--attributes", default="config/attributes.yaml", help="prompts")
    parser.add_argument("--n", type=int, default=6000, help="characters for training")
    parser.add_argument("--n-eval", type=int, default=1000, help="held-out characters")
    parser.add_argument("--epochs", type=int, default=16, help="passes over the characters")
    parser.add_argument("--small", type=int, default=8, help="how many of them, the first, at 128 pixels")
    parser.add_argument("--threads", type=int, default=2, help="threads on a CPU")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(parser.parse_args())


if __name__ == "__main__":
    main()
