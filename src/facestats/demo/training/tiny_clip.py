"""The tiny CLIP of the demo: its network, its prompts, its labels and its files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from facestats.demo.records import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch

SIZE = 176
MODEL = {
    "embed_dim": 128,
    "vision_cfg": {"image_size": SIZE, "layers": [1, 1, 1, 1], "width": 16, "head_width": 64},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 2},
}
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def read_prompts(path: Path) -> dict[str, tuple[str, list[list[str]]]]:
    """Read the view of every attribute, and the prompts of its options.

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

    from facestats.core.attribute_settings import AttributeSettings

    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    attributes = {name: AttributeSettings.model_validate(entry) for name, entry in entries.items()}
    return {name: (a.view, list(a.image_prompts().values())) for name, a in attributes.items()}


class Anchors:
    """Vectors of all options, computed from their prompts as in stage 03.

    Parameters
    ----------
    prompts
        As `read_prompts` gives them.
    tokenizer
        The standard tokenizer.
    device
        Device of the tokens.
    """

    def __init__(
        self, prompts: Mapping[str, tuple[str, list[list[str]]]], tokenizer: Any, *, device: str
    ) -> None:
        self.views = {name: view for name, (view, _) in prompts.items()}
        self.spans = [(name, len(option)) for name, (_, options) in prompts.items() for option in options]
        texts = [text for _, options in prompts.values() for option in options for text in option]
        self.tokens = tokenizer(texts).to(device)

    def encode(
        self, model: torch.nn.Module, *, rng: np.random.Generator | None = None
    ) -> dict[str, torch.Tensor]:
        """Average the unit vectors of each option's prompts, or of two random ones.

        Parameters
        ----------
        model
            The CLIP.
        rng
            Chooses two prompts per option, which makes a training step cheaper; None takes all.

        Returns
        -------
        dict
            Attribute to unit vectors, shape (options, dim).
        """
        import torch
        from torch.nn.functional import normalize

        counts = [count if rng is None else 2 for _, count in self.spans]
        tokens = self.tokens
        if rng is not None:
            starts = np.cumsum([0, *[count for _, count in self.spans[:-1]]])
            picked = [
                s + rng.choice(count, 2, replace=False)
                for s, (_, count) in zip(starts, self.spans, strict=True)
            ]
            tokens = tokens[torch.from_numpy(np.concatenate(picked)).to(tokens.device)]
        vectors = encode_tokens(model, tokens).split(counts)
        found: dict[str, list[torch.Tensor]] = {}
        for (name, _), part in zip(self.spans, vectors, strict=True):
            found.setdefault(name, []).append(part.mean(0))
        return {name: normalize(torch.stack(parts), dim=-1) for name, parts in found.items()}


def encode_tokens(model: torch.nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    """Encode texts into unit vectors as `model.encode_text` does, without computing the empty positions.

    Parameters
    ----------
    model
        An `open_clip.CLIP`. Its text tower is causal, so positions after the last token change nothing.
    tokens
        Shape (n, 77).

    Returns
    -------
    torch.Tensor
        Shape (n, dim).
    """
    import torch
    from torch.nn.functional import normalize

    last = tokens.argmax(-1)
    length = int(last.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return normalize((x[torch.arange(len(x)), last] @ model.text_projection).float(), dim=-1)


def scale(x: torch.Tensor) -> torch.Tensor:
    """Normalise pixels with the mean and the standard deviation of the model's configuration."""
    import torch

    mean, std = (torch.tensor(PREPROCESS[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def build_model(device: str, *, weights: Path | None = None) -> tuple[torch.nn.Module, Any]:
    """Make the model and its tokenizer with the classes of open_clip.

    Parameters
    ----------
    device
        "cpu" or "cuda".
    weights
        File of weights to start from; None for an untrained model.

    Returns
    -------
    tuple
        Model and tokenizer.
    """
    import open_clip
    import torch
    from safetensors.torch import load_file

    model = open_clip.CLIP(**MODEL)
    if weights is not None:
        model.load_state_dict(load_file(str(weights)))
    return model.to(device, memory_format=torch.channels_last), open_clip.SimpleTokenizer(context_length=77)


def evaluate(
    model: torch.nn.Module, anchors: Anchors, views: Mapping[str, np.ndarray], *, device: str
) -> dict[str, np.ndarray]:
    """Label characters by their prompts.

    Parameters
    ----------
    model
        The CLIP.
    anchors
        Prompts of all options.
    views
        "face" and "full" to uint8 pictures, shape (n, h, w, 3).
    device
        Device of the model.

    Returns
    -------
    dict
        Attribute to option numbers, int64 of shape (n,).
    """
    import torch
    from torch.nn.functional import normalize

    model.eval()
    vectors = {}
    with torch.inference_mode():
        options = anchors.encode(model)
        for view, images in views.items():
            pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
            parts = [model.encode_image(scale(part.float() / 255).to(device)) for part in pixels.split(64)]
            vectors[view] = normalize(torch.cat(parts).float(), dim=-1)
        return {
            name: (vectors[anchors.views[name]] @ options[name].T).argmax(1).cpu().numpy() for name in OPTIONS
        }


def save_model(model: torch.nn.Module, folder: Path) -> None:
    """Write the weights in half precision and the configuration; open_clip loads the folder with ``local-dir:``."""
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


def encode_truth(records: Sequence[Mapping[str, str | None]]) -> np.ndarray:
    """Return the option numbers of each record, -1 for options that cannot be seen; int64 of shape (n, 9)."""
    return np.array(
        [[OPTIONS[name].index(r[name]) if r[name] is not None else -1 for name in OPTIONS] for r in records]
    )
