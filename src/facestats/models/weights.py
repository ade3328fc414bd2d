"""Find the weights of a model, download them if allowed, and tell their revision: shared by all handles."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import urllib.request
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from facestats.core.protocols import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
_may_download: ContextVar[bool] = ContextVar("facestats_may_download", default=True)


@contextmanager
def local_only() -> Iterator[None]:
    """Use only models that are on this machine while the block runs; a missing one raises instead of downloading.

    The setting is that of the current thread (or asyncio task) and ends with the block; nothing else is changed.

    Yields
    ------
    Nothing.

    Raises
    ------
    ModelError
        Inside the block, where a model is needed that is not on this machine.

    Examples
    --------
    >>> import facestats as fs
    >>> from facestats.core.config import PACKAGE, EmbeddingsSettings
    >>> demo = fs.models.clip(EmbeddingsSettings(model=f"local-dir:{PACKAGE / 'demo' / 'clip'}"))
    >>> with fs.models.local_only():
    ...     print(demo.folder.name)
    clip
    """
    token = _may_download.set(False)
    try:
        yield
    finally:
        _may_download.reset(token)


def hash_files(files: Iterable[Path]) -> str:
    """Hash names and contents of `files` into 12 hex digits; a file is read again only if size or time changed."""
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
    """Find a model of the Hugging Face hub in the local cache; download it only if it is not there.

    A cached model is used without asking the network for a newer one, so that results do not change
    unnoticed. The revision is a commit, whose files never change.

    Parameters
    ----------
    repo
        ``org/name``.
    required
        Files that must be beside the weights.
    weights
        Accepted names of the weights file, the preferred one first.
    setting
        The setting that names the model, for error messages.

    Returns
    -------
    Folder with the files, and the commit.

    Raises
    ------
    ModelError
        If the model is neither cached nor downloadable; the message says where it was searched and what to type.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    for name in weights:
        paths = [try_to_load_from_cache(repo, file) for file in (name, *required)]
        if all(isinstance(p, str) for p in paths):
            folder = Path(str(paths[0])).parent
            return folder, folder.name
    cache = Path(constants.HF_HUB_CACHE)
    by_hand = (
        f"On a machine with network, run\n    hf download {repo}\nand copy the folder"
        f" {cache / ('models--' + repo.replace('/', '--'))} to this machine, or set the model to a folder that holds it."
        " To try facestats without a download, use the demo's toy models: add --demo to the command, or call"
        " CharacterPipeline(demo=True)."
    )
    if not _may_download.get():
        msg = (
            f"the model {setting!r} is not on this machine: looked in {cache}. The first run downloads it"
            f" from {constants.ENDPOINT}. Without network: {by_hand[0].lower()}{by_hand[1:]}"
        )
        raise ModelError(msg)
    try:
        return _download(repo, required, weights)
    except ModelError as error:
        msg = (
            f"the model {setting!r} is not on this machine and could not be downloaded: {error}\n"
            f"Looked in {cache} and on {constants.ENDPOINT}. {by_hand}"
        )
        raise ModelError(msg) from error


def _download(repo: str, required: tuple[str, ...], weights: tuple[str, ...]) -> tuple[Path, str]:
    """Download `repo`; a short request comes first, so that a missing network is noticed within seconds."""
    from huggingface_hub import constants, get_token, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    if constants.HF_HUB_OFFLINE:
        msg = "the environment variable HF_HUB_OFFLINE is set"
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
            msg = f"the repository lacks {[*required]}, or weights under one of the names {[*weights]}"
            raise ModelError(msg)
        log.info("downloading %s from %s", repo, constants.ENDPOINT)
        folder = Path(snapshot_download(repo, allow_patterns=[chosen, "*.json", "*.txt", "*.model"]))
    except (OSError, HfHubHTTPError, ValueError, KeyError) as error:
        msg = f"{type(error).__name__}: {error}"
        raise ModelError(msg) from error
    return folder, folder.name
