"""Find and load models that transformers saved, without running code from their folders."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facestats.core.attribute_settings import is_folder
from facestats.core.protocols import ModelError
from facestats.models.runtime import check_finite, torch_dtype
from facestats.models.safe_loading import check_configs, loading
from facestats.models.weights import SMALL_FILES, hash_files, hub_folder, list_shards

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
HEADS = ("classification_head", "classifier", "score")  # names that transformers gives to the last layers


def find_pretrained(model: str, *, needed: Sequence[str], revision: str | None = None) -> tuple[Path, str]:
    """Find the folder of a model, and the revision of its files.

    Parameters
    ----------
    model
        Name on the Hugging Face hub, or a folder, with or without ``local-dir:`` before it.
    needed
        Files that must be beside the weights.
    revision
        Commit, tag or branch of a model of the hub; None for the one that is on this machine, else the newest.

    Returns
    -------
    Folder, and 12 hex digits of the commit or of a hash of the files.

    Raises
    ------
    ModelError
        If files are missing; the message names the folder and the files that it needs.
    """
    if is_folder(model):
        folder = Path(model.removeprefix("local-dir:")).expanduser()
        weights = list(folder.glob("*.safetensors"))
        if not weights or any(not (folder / file).is_file() for file in needed):
            msg = (
                f"the model {model!r} was not found: {folder.absolute()} needs model.safetensors,"
                f" {', '.join(needed)} and the other files that save_pretrained of transformers writes."
            )
            raise ModelError(msg)
        for index in folder.glob("*.index.json"):
            list_shards(index)  # weights outside of the folder would not count for its hash
        return folder, hash_files({*weights, *(p for kind in SMALL_FILES for p in folder.glob(kind))})
    folder = hub_folder(model, required=tuple(needed), weights=WEIGHTS, setting=model, revision=revision)
    return folder, folder.name[:12]


def load_pretrained(
    model: str, folder: Path, *, classes: tuple[Any, Any], device: str, precision: str
) -> tuple[Any, Any]:
    """Load a network for inference, and its tokenizer or image processor, from local files alone.

    Parameters
    ----------
    model
        The setting that names the model, for error messages.
    folder
        Folder with its files.
    classes
        Classes of transformers: that of the network, and that of the tokenizer or image processor.
    device, precision
        Where the network runs, and in which precision.

    Returns
    -------
    The network, and the tokenizer or image processor.

    Raises
    ------
    ModelError
        If the files cannot be read, ask for code to be run, or hold NaN or infinity.
    """
    check_configs(folder, model)
    options = {"local_files_only": True, "trust_remote_code": False}
    with loading(model, folder), _no_progress_bars():
        network = classes[0].from_pretrained(folder, use_safetensors=True, **options)
        processor = classes[1].from_pretrained(folder, **options)
    check_finite(network, model)
    return lower_precision(network.to(device), precision).requires_grad_(requires_grad=False), processor


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Hide the progress bars of transformers inside the block, because a bar of the stage is on the screen."""
    from huggingface_hub import utils
    from transformers.utils import logging

    shown, hub_hidden = logging.is_progress_bar_enabled(), utils.are_progress_bars_disabled()
    logging.disable_progress_bar()  # this and its opposite also decide about the bars of the hub
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
        if utils.are_progress_bars_disabled() != hub_hidden:
            utils.disable_progress_bars() if hub_hidden else utils.enable_progress_bars()


def lower_precision(network: Any, precision: str) -> Any:
    """Compute matrix products in `precision`, since they take most of the time; keep the rest in fp32.

    Sums, norms and the last layers stay in fp32. In bf16 throughout, logits around 20 are rounded to eighths, and
    each layer rounds the sum of the layers before it: 4 % of the labels of a BART-large with random weights changed.
    """
    from torch import nn

    network.eval().float()  # transformers keeps the precision of the weights file
    if precision == "fp32":
        return network
    full = {name: deepcopy(getattr(network, name)) for name in HEADS if hasattr(network, name)}
    products = (nn.Linear, nn.Conv1d, nn.Conv2d)
    if _matrices_only_in(network, (*products, nn.Embedding)):
        full |= {name: deepcopy(m) for name, m in network.named_modules() if isinstance(m, nn.LayerNorm)}
    network.to(torch_dtype(precision))
    for name, module in full.items():
        module.register_forward_pre_hook(lambda _, inputs: tuple(part.float() for part in inputs))
        network.set_submodule(name, module)
    kept = {id(part) for module in full.values() for part in module.modules()}
    for module in network.modules():
        if isinstance(module, products) and id(module) not in kept:
            module.register_forward_pre_hook(_cast_input_to_weight)
    return network


def _matrices_only_in(network: Any, kinds: tuple[type, ...]) -> bool:
    """Whether only modules of these kinds hold matrices: another might multiply its own with values in fp32."""
    others = (module for module in network.modules() if not isinstance(module, kinds))
    return all(weight.dim() < 2 for module in others for weight in module.parameters(recurse=False))


def _cast_input_to_weight(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Cast the input of a product to the type of its weights; products of the same input share the cast copy."""
    first, dtype = inputs[0], module.weight.dtype
    if first.dtype == dtype:
        return inputs
    if not hasattr(first, "lowered"):
        first.lowered = first.to(dtype)
    return (first.lowered, *inputs[1:])
