"""Where a model runs, in which precision, and which weights it has: shared by the CLIP and BART handles."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facestats.core.protocols import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
_CPUINFO = Path("/proc/cpuinfo")


def pick_device(wanted: str) -> str:
    """Name the torch device for the setting `wanted`; ``auto`` prefers cuda, then mps, then cpu."""
    import torch

    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        msg = (
            f"device {wanted!r} was asked for, but torch {torch.__version__} sees no CUDA. Set device: auto."
        )
        raise ModelError(msg)
    return wanted


def pick_precision(wanted: str, device: str) -> tuple[str, str]:
    """Choose fp32, bf16 or fp16 for `device`, and say why.

    Parameters
    ----------
    wanted
        Setting: ``auto`` or the precision itself.
    device
        Device as :func:`pick_device` names it.

    Returns
    -------
    The precision and the reason for it, one sentence for logs and provenance.
    """
    if wanted != "auto":
        return wanted, f"{wanted} on {device}: set in the configuration"
    if device.startswith("cuda"):
        import torch

        major, minor = torch.cuda.get_device_capability(device)
        chosen = "bf16" if major >= 8 else "fp16"
        return chosen, f"{chosen} on {device}: compute capability {major}.{minor}, bf16 needs 8.0"
    found = [flag for flag in ("amx_bf16", "avx512_bf16") if flag in _cpu_flags()] if device == "cpu" else []
    if found:
        return "bf16", f"bf16 on cpu: the processor has {' and '.join(found)}"
    return "fp32", f"fp32 on {device}: no fast 16-bit arithmetic known there"


def torch_dtype(precision: str) -> Any:
    """Return the torch dtype of a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


@functools.cache
def _cpu_flags() -> frozenset[str]:
    """Flags of the first processor; empty where the system does not tell (macOS, Windows)."""
    if not _CPUINFO.is_file():
        return frozenset()
    lines = _CPUINFO.read_text(errors="replace").splitlines()
    return next((frozenset(line.split()) for line in lines if line.startswith("flags")), frozenset())


def hash_files(files: Iterable[Path]) -> str:
    """Hash names and contents of `files` into 12 hex digits; a file is read again only when it changes."""
    digest = hashlib.sha256()
    for file in sorted(files):
        info = file.stat()
        digest.update(f"{file.name}\0{_hash_file(file, info.st_size, info.st_mtime_ns)}\0".encode())
    return digest.hexdigest()[:12]


@functools.lru_cache(maxsize=256)
def _hash_file(file: Path, size: int, mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hub_folder(
    repo: str, *, required: tuple[str, ...], weights: tuple[str, ...], setting: str
) -> tuple[Path, str]:
    """Find a model of the Hugging Face hub in the local cache; fetch it only if it is not there.

    A cached model is used as it is, without a look at the network, so that results do not change by
    themselves. The revision is a commit, which never changes.

    Parameters
    ----------
    repo
        ``org/name``.
    required
        Files that must be there besides the weights.
    weights
        Accepted names of the weights file, the preferred one first.
    setting
        Setting that asked for the model, for the error.

    Returns
    -------
    Folder with the files, and the commit.

    Raises
    ------
    ModelError
        Naming the model, where it was looked for, and how to put it there.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    for name in weights:
        paths = [try_to_load_from_cache(repo, file) for file in (name, *required)]
        if all(isinstance(p, str) for p in paths):
            folder = Path(str(paths[0])).parent
            return folder, folder.name
    cache = Path(constants.HF_HUB_CACHE)
    try:
        return _download(repo, required, weights)
    except ModelError as error:
        msg = (
            f"the model {setting!r} is not on this machine and could not be fetched: {error}\n"
            f"Looked in {cache} and on {constants.ENDPOINT}. On a machine with network, run\n"
            f"    hf download {repo}\n"
            f"and copy the folder {cache / ('models--' + repo.replace('/', '--'))} here, or set the model to"
            " a folder that holds it."
        )
        raise ModelError(msg) from error


def _download(repo: str, required: tuple[str, ...], weights: tuple[str, ...]) -> tuple[Path, str]:
    """Fetch `repo`; one quick question comes first, so that a missing network is known at once."""
    from huggingface_hub import constants, get_token, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        msg = "HF_HUB_OFFLINE is set"
        raise ModelError(msg)
    token = get_token()
    request = urllib.request.Request(
        f"{constants.ENDPOINT}/api/models/{repo}",
        headers={"authorization": f"Bearer {token}"} if token else {},
    )
    try:
        with urllib.request.urlopen(request, timeout=CONNECT_SECONDS) as answer:
            names = {s["rfilename"] for s in json.load(answer)["siblings"]}
        chosen = next((w for w in weights if w in names), None)
        if chosen is None or not names.issuperset(required):
            msg = f"the repository lacks {[*required]} or weights under one of the names {[*weights]}"
            raise ModelError(msg)
        log.info("fetching %s from %s", repo, constants.ENDPOINT)
        folder = Path(snapshot_download(repo, allow_patterns=[chosen, "*.json", "*.txt", "*.model"]))
    except (OSError, HfHubHTTPError, ValueError, KeyError) as error:
        msg = f"{type(error).__name__}: {error}"
        raise ModelError(msg) from error
    return folder, folder.name
