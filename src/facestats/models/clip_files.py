"""The files of an open_clip model: where they are, their revision, and the network built from them."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facestats.core.protocols import ModelError
from facestats.models.clip_preprocess import Preprocess
from facestats.models.safe_loading import CLIP_CONFIG as CONFIG
from facestats.models.safe_loading import check_configs, loading, read_config
from facestats.models.weights import SMALL_FILES, hash_files, hub_folder, may_download

# file names under which open_clip looks for weights; it reads pickles with weights_only
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
)


@dataclass(frozen=True)
class Source:
    """Folder and revision of a model, and how to build its network.

    Parameters
    ----------
    folder
        Folder with the files.
    revision
        12 hex digits of the commit, or of a hash of the files.
    preprocess
        What the model does to a picture before it reads it.
    architecture, weights
        Name and file, for a `model/pretrained` pair of open_clip; None where the folder describes the network.
    quick_gelu
        Whether the weights were trained with QuickGELU.
    """

    folder: str
    revision: str
    preprocess: Preprocess
    architecture: str | None = None
    weights: str | None = None
    quick_gelu: bool = False


def find_source(model: str, revision: str | None = None) -> Source:
    """Find the files of a model; the form of its name says where. `revision` is a commit, tag or branch of the hub."""
    scheme, _, rest = model.partition(":")
    if scheme == "local-dir":
        return _from_folder(Path(rest).expanduser(), model)
    if scheme == "hf-hub":
        folder = hub_folder(rest, required=(CONFIG,), weights=WEIGHTS, setting=model, revision=revision)
        return Source(str(folder), folder.name[:12], _read_config(folder / CONFIG, model))
    return _from_tag(model, revision)


def _from_folder(folder: Path, model: str) -> Source:
    if not (folder / CONFIG).is_file():
        msg = (
            f"the model {model!r} was not found: there is no {folder.absolute() / CONFIG}. Put an open_clip"
            f" model there ({CONFIG} and {WEIGHTS[0]}, as open_clip_train or `open_clip.push_to_hf_hub` write"
            " them), or correct embeddings.model in the configuration."
        )
        raise ModelError(msg)
    weights = [p for s in ("*.safetensors", "*.bin", "*.pth") for p in folder.glob(s)]
    if not weights:
        msg = f"the model {model!r} has no weights. Put {WEIGHTS[0]} into {folder.absolute()}."
        raise ModelError(msg)
    others = [p for s in SMALL_FILES for p in folder.glob(s)]
    return Source(str(folder), hash_files([*weights, *others]), _read_config(folder / CONFIG, model))


def _from_tag(model: str, revision: str | None) -> Source:
    """Find the weights of a `model/pretrained` pair of open_clip; all of them are on the Hugging Face hub."""
    import open_clip

    architecture, _, tag = model.rpartition("/")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag not in tags:
        known = tags or sorted({name for name, _ in open_clip.list_pretrained()})
        near = difflib.get_close_matches(tag if tags else architecture, known, n=3, cutoff=0.3) or known[:3]
        msg = (
            f"the model {model!r} is unknown to open_clip {open_clip.__version__}; similar names are {near}."
            " Name a model as model/pretrained, such as ViT-B-32-quickgelu/openai, as hf-hub:org/name or as"
            " local-dir:folder."
        )
        raise ModelError(msg)
    entry = open_clip.get_pretrained_cfg(architecture, tag)
    repo, _, file = entry["hf_hub"].rpartition("/")
    names = (file.rsplit(".", 1)[0] + ".safetensors", file) if file else WEIGHTS
    folder = hub_folder(repo, required=(), weights=names, setting=model, revision=revision)
    weights = next(folder / n for n in names if (folder / n).is_file())
    size = open_clip.get_model_config(architecture)["vision_cfg"]["image_size"]
    keys: dict[str, Any] = {
        k: entry[k] for k in ("interpolation", "resize_mode", "mean", "std") if entry.get(k)
    }
    return Source(
        str(folder),
        folder.name[:12],
        Preprocess(_pair(size), **keys),
        architecture=architecture,
        weights=str(weights),
        quick_gelu=bool(entry.get("quick_gelu")),
    )


def _read_config(file: Path, model: str) -> Preprocess:
    try:
        config = read_config(file)
        wanted = config.get("preprocess_cfg", {})
        size = _pair(config["model_cfg"]["vision_cfg"]["image_size"])
        keys: dict[str, Any] = {
            k: wanted[k] for k in ("interpolation", "resize_mode", "mean", "std") if wanted.get(k)
        }
        if wanted.get("fill_color"):
            keys["fill"] = wanted["fill_color"]
        keys |= {k: tuple(v) for k, v in keys.items() if isinstance(v, list)}
        return Preprocess(size, **keys).check()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        msg = (
            f"the model {model!r} cannot be used: {file} is no open_clip configuration ({error!r})."
            " Download or copy its files again."
        )
        raise ModelError(msg) from error


def _pair(size: int | list[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def build_network(model: str, source: Source) -> Any:
    """Build the network with its weights; raise a `ModelError` that names the folder if they cannot be read."""
    import open_clip

    if source.architecture is None:
        check_configs(Path(source.folder), model)
    with loading(model, source.folder):
        if source.architecture is None:
            return open_clip.create_model(f"local-dir:{source.folder}", require_pretrained=True)
        return open_clip.create_model(
            source.architecture,
            pretrained=source.weights,
            # the name of an architecture does not always say whether its weights need QuickGELU
            force_quick_gelu=source.quick_gelu,
            require_pretrained=True,
        )


def get_tokenizer(model: str, source: Source) -> Any:
    """Make the tokenizer of the network."""
    import open_clip

    ending = "It must be one that open_clip has; a tokenizer of the Hugging Face hub needs the network once."
    with loading(model, source.folder, what="tokenizer", ending=ending):
        if source.architecture is None:
            name, config = (
                f"local-dir:{source.folder}",
                read_config(Path(source.folder) / CONFIG)["model_cfg"],
            )
        else:
            name, config = source.architecture, open_clip.get_model_config(source.architecture)
        options = {}
        if config["text_cfg"].get(
            "hf_tokenizer_name"
        ):  # the tokenizers of open_clip itself take none of them
            local = source.architecture is None or not may_download()
            options = {"trust_remote_code": False, "local_files_only": local}
        return open_clip.get_tokenizer(name, **options)
