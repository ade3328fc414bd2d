"""Models that transformers saved: find them, load them without running a line of their code."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facestats.core.protocols import ModelError
from facestats.models.runtime import check_finite, torch_dtype
from facestats.models.weights import hash_files, hub_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
HEADS = ("classification_head", "classifier", "score")  # what transformers calls the last layers
DESCRIBING = ("*.json", "*.txt", "*.model")  # configuration and vocabulary: they too change the numbers


def find_pretrained(model: str, *, needed: Sequence[str]) -> tuple[Path, str]:
    """Find the folder of a model, and the revision of its files.

    Parameters
    ----------
    model
        Name on the Hugging Face hub, or a folder, with or without ``local-dir:`` before it.
    needed
        Files that must lie beside the weights.

    Returns
    -------
    Folder, and 12 hex digits of the commit or of a hash of the files.

    Raises
    ------
    ModelError
        Naming the folder that was looked into, and what belongs there.
    """
    name = model.removeprefix("local-dir:")
    folder = Path(name).expanduser()
    if folder.is_dir() or name != model or folder.is_absolute() or name.startswith("."):
        weights = list(folder.glob("*.safetensors"))
        if not weights or any(not (folder / file).is_file() for file in needed):
            msg = (
                f"the model {model!r} was not found: {folder.absolute()} needs model.safetensors,"
                f" {', '.join(needed)} and what else save_pretrained of transformers writes."
            )
            raise ModelError(msg)
        return folder, hash_files({*weights, *(p for kind in DESCRIBING for p in folder.glob(kind))})
    folder, revision = hub_folder(model, required=tuple(needed), weights=WEIGHTS, setting=model)
    return folder, revision[:12]


def load_pretrained(
    model: str, folder: Path, *, classes: tuple[Any, Any], device: str, precision: str
) -> tuple[Any, Any]:
    """Load a network, ready to infer, and its tokenizer or image processor, from local files alone.

    Parameters
    ----------
    model
        The setting that asked for it, for errors.
    folder
        Where its files lie.
    classes
        Classes of transformers for the network and for what prepares its input.
    device, precision
        Where it runs, and as what.

    Raises
    ------
    ModelError
        If the files cannot be read or hold NaN or infinity.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging

    options = {"local_files_only": True, "trust_remote_code": False}
    noisy = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # one of ours is open
    try:
        network = classes[0].from_pretrained(folder, use_safetensors=True, **options)
        preparing = classes[1].from_pretrained(folder, **options)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        msg = f"the model {model!r} in {folder} cannot be loaded: {error}"
        raise ModelError(msg) from error
    finally:
        if noisy:
            logging.enable_progress_bar()
    check_finite(network, model)
    return lower_precision(network.to(device), precision).requires_grad_(requires_grad=False), preparing


def lower_precision(network: Any, precision: str) -> Any:
    """Cast the products of matrices, which take the time; sums, norms and the last layers stay in fp32.

    In bf16 alone logits around 20 are rounded to eighths, and every layer rounds the sum of those before it: of the
    labels of a BART-large with random weights 4 % became others.
    """
    from torch import nn

    network.eval().float()  # transformers leaves weights in the precision of their file
    if precision == "fp32":
        return network
    exact = {name: deepcopy(getattr(network, name)) for name in HEADS if hasattr(network, name)}
    products = (nn.Linear, nn.Conv1d, nn.Conv2d)
    if _multiplies_only_in(network, (*products, nn.Embedding)):
        exact |= {name: deepcopy(m) for name, m in network.named_modules() if isinstance(m, nn.LayerNorm)}
    network.to(torch_dtype(precision))
    for name, module in exact.items():
        module.register_forward_pre_hook(lambda _, inputs: tuple(part.float() for part in inputs))
        network.set_submodule(name, module)
    kept = {id(part) for module in exact.values() for part in module.modules()}
    for module in network.modules():
        if isinstance(module, products) and id(module) not in kept:
            module.register_forward_pre_hook(_match_weight)
    return network


def _multiplies_only_in(network: Any, kinds: tuple[type, ...]) -> bool:
    """Whether no module of another kind has a matrix of its own, which it might multiply with what is in fp32."""
    others = (module for module in network.modules() if not isinstance(module, kinds))
    return all(weight.dim() < 2 for module in others for weight in module.parameters(recurse=False))


def _match_weight(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Cast what a product reads; query, key and value, and all that look at one encoder, share the copy."""
    first, dtype = inputs[0], module.weight.dtype
    if first.dtype == dtype:
        return inputs
    if not hasattr(first, "lowered"):
        first.lowered = first.to(dtype)
    return (first.lowered, *inputs[1:])
