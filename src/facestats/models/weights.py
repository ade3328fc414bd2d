"""Find the weights of a model, and download them if allowed: shared by all handles."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import stat
import time
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

from facestats.core.protocols import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

log = logging.getLogger(__name__)

# The policy of downloads. The first request is short and not repeated, so that a missing network is noticed at once.
# Then huggingface_hub downloads: it continues a file where the connection broke, and gives up after some tries without
# a new byte. The download is then started again; files that are complete are not fetched twice.
CONNECT_SECONDS = 5.0
DOWNLOAD_TRIES = 3
PAUSE_SECONDS = 2.0  # before the second try; the pause before the third is twice as long
SMALL_FILES = ("*.json", "*.txt", "*.model")  # configuration and vocabulary, which change the results too
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


def may_download() -> bool:
    """Return whether models may be downloaded here: false inside :func:`local_only`."""
    return _may_download.get()


def hash_files(files: Iterable[Path]) -> str:
    """Hash names and contents of `files` into 12 hex digits; a file is read again only if size or time changed."""
    digest = hashlib.sha256()
    for file in sorted(files):
        info = file.stat()
        if not stat.S_ISREG(info.st_mode):  # reading a pipe or a device might never end
            msg = f"{file} is no file. Copy the files of the model again."
            raise ModelError(msg)
        digest.update(f"{file.name}\0{_hash_file(file, info.st_size, info.st_mtime_ns)}\0".encode())
    return digest.hexdigest()[:12]


@functools.lru_cache(maxsize=256)
def _hash_file(file: Path, size: int, mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hub_folder(
    repo: str, *, required: tuple[str, ...], weights: tuple[str, ...], setting: str, revision: str | None
) -> Path:
    """Find a model of the Hugging Face hub in the local cache; download it only if it is not there.

    A cached model is used without asking the network for a newer one, so that results do not change unnoticed.

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
    revision
        Commit, tag or branch; None for the main branch.

    Returns
    -------
    Folder with the files; its name is the commit, whose files never change.

    Raises
    ------
    ModelError
        If the model is neither cached nor downloadable; the message says where it was searched and what to type.
    """
    from huggingface_hub import constants

    if folder := _cached(repo, required, weights, revision):
        return folder
    cache = Path(constants.HF_HUB_CACHE)
    pinned, option = (f" at revision {revision!r}", f" --revision {revision}") if revision else ("", "")
    by_hand = (
        f"on a machine with network, run\n    hf download {repo}{option}\nand copy the folder"
        f" {cache / ('models--' + repo.replace('/', '--'))} to this machine, or set the model to a folder that holds it."
        " To try facestats without a download, use the demo's toy models: add --demo to the command, or call"
        " CharacterPipeline(demo=True)."
    )
    if not _may_download.get():
        msg = (
            f"the model {setting!r}{pinned} is not on this machine: looked in {cache}. The first run downloads it"
            f" from {constants.ENDPOINT}. Without network: {by_hand}"
        )
        raise ModelError(msg)
    try:
        return _download(repo, required, weights, revision)
    except _RefusedError as error:
        msg = f"the model {setting!r}{pinned} cannot be had from {constants.ENDPOINT}: {error}"
        raise ModelError(msg) from error
    except ModelError as error:
        msg = (
            f"the model {setting!r}{pinned} is not on this machine and could not be downloaded: {error}\n"
            f"Looked in {cache} and on {constants.ENDPOINT}. Run the same command again when the network works: files that"
            f" are complete are not downloaded twice. Or, {by_hand}"
        )
        raise ModelError(msg) from error


class _RefusedError(ModelError):
    """The hub answered, and does not have what is needed, or does not give it to this user."""


def _cached(
    repo: str, required: tuple[str, ...], weights: tuple[str, ...], revision: str | None
) -> Path | None:
    """Return the folder of a model in the local cache, if all its files are there."""
    from huggingface_hub import try_to_load_from_cache

    def find(file: str) -> Path | None:
        path = try_to_load_from_cache(repo, file, revision=revision)
        return Path(path) if isinstance(path, str) else None

    for name in weights:
        found = find(name)
        if found and all(find(file) for file in (*required, *list_shards(found))):
            return found.parent
    return None


def list_shards(weights: Path) -> set[str]:
    """List the files that the index of divided weights names; none for weights of one file."""
    if not weights.name.endswith(".index.json"):
        return set()
    try:
        names = set(json.loads(weights.read_text(encoding="utf-8"))["weight_map"].values())
        if strange := [name for name in names if Path(name).name != name]:
            msg = f"it names {sorted(strange)[0]!r}, which does not lie beside it"
            raise ValueError(msg)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{weights} is no list of weights ({error!r}). Download or copy the files of the model again."
        raise ModelError(msg) from error
    return names


def _download(repo: str, required: tuple[str, ...], weights: tuple[str, ...], revision: str | None) -> Path:
    """Download a model, and try again where the connection breaks."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError

    chosen = _choose_weights(repo, required, weights, revision)
    log.info("downloading %s from %s", repo, constants.ENDPOINT)
    for n in range(1, DOWNLOAD_TRIES + 1):
        try:
            folder = Path(snapshot_download(repo, revision=revision, allow_patterns=[*SMALL_FILES]))
            # the weights come last: where they are in the cache, so is everything else
            snapshot_download(repo, revision=revision, allow_patterns=[chosen, *list_shards(folder / chosen)])
            if found := _cached(repo, required, weights, revision):
                return found
            msg = "files were missing after the download"
        except RepositoryNotFoundError as error:  # everybody may see the page of a model with terms
            raise _refused(repo) from error
        except (OSError, HTTPError, RuntimeError, ValueError) as error:
            msg = f"{type(error).__name__}: {error}"
            if isinstance(error, OSError) and error.errno:  # of this machine, such as a full disk
                raise ModelError(msg) from error
        if n < DOWNLOAD_TRIES:
            pause = PAUSE_SECONDS * 2 ** (n - 1)
            log.warning("the download of %s broke (%s); it is tried again in %g s", repo, msg, pause)
            time.sleep(pause)
    msg = f"{DOWNLOAD_TRIES} tries failed, the last with {msg}"
    raise ModelError(msg)


def _choose_weights(
    repo: str, required: tuple[str, ...], weights: tuple[str, ...], revision: str | None
) -> str:
    """Ask the hub for the files of a model, and return the name of its weights file."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HTTPError, RepositoryNotFoundError, RevisionNotFoundError

    if constants.HF_HUB_OFFLINE:
        msg = "the environment variable HF_HUB_OFFLINE is set"
        raise ModelError(msg)
    try:
        info = HfApi().model_info(repo, revision=revision, timeout=CONNECT_SECONDS)
    except RevisionNotFoundError as error:
        msg = (
            f"it has no such revision. Set `revision` to a commit, tag or branch that"
            f" {constants.ENDPOINT}/{repo}/commits/main lists, or remove it to use the newest files."
        )
        raise _RefusedError(msg) from error
    except RepositoryNotFoundError as error:
        raise _refused(repo) from error
    except (OSError, HTTPError, ValueError, KeyError, TypeError) as error:
        msg = f"{type(error).__name__}: {error}"
        raise ModelError(msg) from error
    names = {sibling.rfilename for sibling in info.siblings or ()}
    chosen = next((name for name in weights if name in names), None)
    if chosen is None or not names.issuperset(required):
        msg = f"it lacks {[*required]}, or weights under one of the names {[*weights]}. Choose another model."
        raise _RefusedError(msg)
    return chosen


def _refused(repo: str) -> _RefusedError:
    from huggingface_hub import constants

    return _RefusedError(
        "there is no such model, or not for this user. Correct the name; for a private model or one with terms, accept"
        f" the terms on {constants.ENDPOINT}/{repo} and run\n    hf auth login"
    )
