"""Save a randomly initialised ViT-B/32 as an open_clip folder: the real architecture and speed, without meaning."""

import json
import sys
from pathlib import Path


def save_random_clip(folder: Path, *, architecture: str = "ViT-B-32", seed: int = 0) -> Path:
    """Write configuration and weights into `folder` unless they exist; ``local-dir:FOLDER`` loads them."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = Path(folder)
    if (folder / "open_clip_config.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = open_clip.create_model(architecture)
    save_file(
        {k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    preprocess = {
        "mean": open_clip.OPENAI_DATASET_MEAN,
        "std": open_clip.OPENAI_DATASET_STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    config = {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=1))
    return folder


if __name__ == "__main__":
    print(save_random_clip(Path(sys.argv[1])))
