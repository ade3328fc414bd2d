"""Load the files of a model without running code from them, and end in a sentence whatever they hold.

The configuration in a folder may describe a network. It may not name code, or another place from which code or files are
read. Nobody is asked whether code may run: the answer is no.
"""

from __future__ import annotations

import json
import pickle
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_type_hints

from facestats.core.attribute_settings import is_folder
from facestats.core.protocols import ModelError
from facestats.models.runtime import undo_side_effects

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CLIP_CONFIG, CONFIG = "open_clip_config.json", "config.json"
MAX_BYTES = 4_000_000  # of a configuration
# what may change a tokenizer; open_clip passes all else to transformers, also `trust_remote_code`
TOKENIZER_KEYS = ("clean", "strip_sep_token", "language")
_ELSEWHERE = ("quantization_config", "kernel_config")  # they choose packages that transformers then loads
_ENDING = "Download or copy its files again."


@contextmanager
def loading(model: str, folder: str | Path, *, what: str = "", ending: str = _ENDING) -> Iterator[None]:
    """Run a block that loads a model: side effects are undone, no code of the folder runs, each error is a `ModelError`.

    Parameters
    ----------
    model
        The setting that names the model.
    folder
        Its folder.
    what
        The part that is loaded, such as ``tokenizer``, for the message.
    ending
        What to do after an error.
    """
    try:
        with undo_side_effects(), _no_remote_code():
            yield
    except ModelError:
        raise
    except Exception as error:
        whole = f"the {what} of the model {model!r}" if what else f"the model {model!r}"
        msg = f"{whole} in {folder} cannot be loaded: {_explain(error, ending)}"
        raise ModelError(msg) from error


def check_configs(folder: Path, model: str) -> None:
    """Refuse a folder whose configuration holds what may not stand in it; the message names the file and the entry."""
    for name, check in ((CLIP_CONFIG, _check_clip), (CONFIG, _check_transformers)):
        file = folder / name
        if not file.is_file():
            continue
        try:
            config = read_config(file)
            check(config)
            if (
                name == CLIP_CONFIG
                and is_folder(model)
                and config["model_cfg"]["text_cfg"].get("hf_model_name")
            ):
                msg = (
                    "text_cfg: hf_model_name leads to another model, and a folder must hold all that it needs; name the"
                    " model of the hub instead (hf-hub:...)"
                )
                raise ValueError(msg)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            found = f"{error} is missing" if isinstance(error, KeyError) else f"{error}"
            msg = f"the model {model!r} cannot be used: {file}: {found}. Choose another model, or correct the file."
            raise ModelError(msg) from error


def read_config(file: Path) -> dict[str, Any]:
    """Read the configuration of a model; a ValueError says what is wrong with it."""
    if (size := file.stat().st_size) > MAX_BYTES:
        msg = f"{size:,} bytes are no configuration"
        raise ValueError(msg)
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        msg = f"a mapping is needed, found {type(found).__name__}"
        raise TypeError(msg)
    return found


@contextmanager
def _no_remote_code() -> Iterator[None]:
    """Let transformers answer its own question with no, where a caller does not pass ``trust_remote_code=False``."""
    from transformers import dynamic_module_utils

    before = dynamic_module_utils.TIME_OUT_REMOTE_CODE
    dynamic_module_utils.TIME_OUT_REMOTE_CODE = 0  # seconds to answer: with 0 it does not ask
    try:
        yield
    finally:
        dynamic_module_utils.TIME_OUT_REMOTE_CODE = before


def _explain(error: Exception, ending: str) -> str:
    """Say why a model cannot be loaded and what to do, without the advice of other packages to run its code."""
    text = str(error).rstrip(". ")
    if "trust_remote_code" in text:
        return (
            "it needs code from its own folder, and facestats runs no code of a model. Choose another model."
        )
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return (
            "its weights are a pickle that holds more than tensors and could run code. Use weights in the format"
            " safetensors."
        )
    return f"{text or type(error).__name__}. {ending}"


def _check_transformers(config: Mapping[str, Any]) -> None:
    """Refuse a configuration by which transformers would load code from the hub or from another package."""
    for key, value in config.items():
        if key in _ELSEWHERE and value:
            msg = f"{key} asks for the code of another package"
            raise ValueError(msg)
        if key.endswith("_implementation") and "/" in json.dumps(value):
            msg = f"{key} {value!r} asks for code from the hub"
            raise ValueError(msg)
        if isinstance(value, dict):
            _check_transformers(value)


def _check_clip(config: Mapping[str, Any]) -> None:
    """Refuse what does not describe a network of open_clip."""
    from open_clip.coca_model import MultimodalCfg
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    parts = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg, "multimodal_cfg": MultimodalCfg}
    model = dict(config["model_cfg"])
    for name, kind in parts.items():
        if name in model or name != "multimodal_cfg":
            _check_entries(model.pop(name), get_type_hints(kind), name)
    flags = dict.fromkeys(("quick_gelu", "custom_text", "nonscalar_logit_scale", "output_dict"), bool)
    numbers = dict.fromkeys(("init_logit_scale", "init_logit_bias"), float | None)
    _check_entries(model, {"embed_dim": int, **flags, **numbers}, "model_cfg")


def _check_entries(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    """Check names and types of entries, and those that name a place."""
    from huggingface_hub.utils import validate_repo_id
    from pydantic import TypeAdapter, ValidationError

    for key, value in given.items():
        if key not in known:
            msg = f"{where}: the entry {key!r} is unknown; known are {', '.join(sorted(known))}"
            raise ValueError(msg)
        try:
            if value is not None:
                TypeAdapter(known[key]).validate_json(json.dumps(value), strict=True)
        except ValidationError as error:
            msg = f"{where}: {key} cannot be {json.dumps(value)[:80]}"
            raise ValueError(msg) from error
        if isinstance(value, dict) and any(isinstance(part, (dict, list)) for part in value.values()):
            msg = f"{where}: {key} may hold numbers and texts only"
            raise ValueError(msg)
        if key == "tokenizer_kwargs" and (strange := [*(value or {}).keys() - set(TOKENIZER_KEYS)]):
            msg = f"{where}: {key} may hold {', '.join(TOKENIZER_KEYS)}, found {', '.join(sorted(strange))}"
            raise ValueError(msg)
        if key == "hf_model_name" and value:
            validate_repo_id(value)  # the name of a model of the hub; a path could lead to a folder with code
        if key == "timm_model_name" and value and not re.fullmatch(r"[\w.]+", value):
            msg = f"{where}: {key} {value!r} is no name of an architecture of timm"
            raise ValueError(msg)
