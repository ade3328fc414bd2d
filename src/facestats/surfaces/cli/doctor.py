"""What facestats needs and what this machine has: versions, devices, models, and how to install what is missing."""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

import facestats as fs
from facestats.core.config import ConfigError, load_config
from facestats.core.config_source import ConfigSource, find_config
from facestats.core.display import format_value
from facestats.core.protocols import ModelError
from facestats.core.workers import cpu_count

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from facestats.core.config import Config
    from facestats.models import Bart, Clip, FaceMesh, HfClassifier

PACKAGES = (
    "numpy",
    "polars",
    "pillow",
    "ai-edge-litert",
    "torch",
    "open_clip_torch",
    "transformers",
    "datasets",
)
EXTRAS = {
    "ipykernel": "notebooks",
    "ipywidgets": "notebooks",
    "jupyterlab": "notebooks",
    "nbconvert": "notebooks",
    "papermill": "notebooks",
    "gradio": "app",
    "fastapi": "service",
    "uvicorn": "service",
    "python-multipart": "service",
    "prometheus_client": "service",
    "jupyter-scatter": "explore",
    "pillow-heif": "heic",
    "mediapipe": "mediapipe",
    "ray": "ray",
}
# the package of an imported module, where their names differ
_PACKAGES_OF = {"cv2": "opencv-contrib-python", "open_clip": "open_clip_torch", "PIL": "pillow"}
OLDEST_PILLOW = (12, 3)  # older versions are known to crash on malicious pictures
MIN_FREE = 2_000_000_000  # bytes on the disk

Finding = tuple[str, bool, str]


def examine(config: str | os.PathLike[str] | ConfigSource | None = None) -> Iterator[Finding]:
    """Look at everything in turn; nothing is downloaded.

    Parameters
    ----------
    config
        A YAML file, what ``find_config`` found, or None for what it finds.

    Yields
    ------
    Name, whether it is in order, and what was found; if it is not in order, also how to correct that.
    """
    supported = (3, 11) <= sys.version_info[:2] <= (3, 14)
    yield "python", supported, platform.python_version() + ("" if supported else ": use 3.11 to 3.14")
    yield "facestats", True, fs.__version__
    yield from _packages()
    yield from _extras()
    yield "cores", True, str(cpu_count())
    yield _device()
    source = find_config(config)
    try:
        settings = load_config(source)
    except ConfigError as error:
        yield "configuration", False, str(error)
        return
    yield "configuration", True, str(source.file)
    yield from _models(settings)
    yield _disk(settings)
    yield "pictures", settings.raw_dir.is_dir() or settings.demo is not None, _pictures(settings)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            yield name, False, f"missing: pip install {name}"
            continue
        old = name == "pillow" and tuple(int(p) for p in found.split(".")[:2]) < OLDEST_PILLOW
        yield name, not old, found + (": pip install --upgrade pillow" if old else "")
    yield _opencv()


def _opencv() -> Finding:
    """Look for OpenCV, of which two packages write the same folder: removing one of them damages the other."""
    others = [
        p for p in ("opencv-python", "opencv-python-headless", "opencv-contrib-python-headless") if _has(p)
    ]
    remove = f"pip uninstall {' '.join(others)}; " if others else ""
    mend = f"{remove}pip install --force-reinstall --no-deps opencv-contrib-python"
    if not _has("opencv-contrib-python"):
        return "opencv-contrib-python", False, f"missing: {mend}"
    try:
        import cv2
    except (ImportError, OSError) as error:
        return "opencv-contrib-python", False, _how_to_install(error)
    if not hasattr(cv2, "imread"):
        return (
            "opencv-contrib-python",
            False,
            f"damaged, as when another package of OpenCV is removed: {mend}",
        )
    if others:
        return (
            "opencv-contrib-python",
            False,
            f"{cv2.__version__}, but {others[0]} writes the same folder: {mend}",
        )
    return "opencv-contrib-python", True, cv2.__version__


def _has(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _extras() -> Iterator[Finding]:
    for name, extra in EXTRAS.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            found = f"not installed; optional: pip install 'facestats[{extra}]'"
        yield name, True, found


def _device() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        return "device", False, _how_to_install(error)
    if torch.cuda.is_available():
        return "device", True, f"cuda: {torch.cuda.get_device_name()}"
    return "device", True, "mps" if torch.backends.mps.is_available() else "cpu"


def model_handles(settings: Config) -> list[tuple[str, Bart | Clip | FaceMesh | HfClassifier]]:
    """List the models of a project, each with what it is for; nothing is loaded."""
    classifiers = fs.models.classifiers(settings.classifiers, settings.attributes)
    return [
        ("landmarks", fs.models.landmarker(settings.faces)),
        ("CLIP", fs.models.clip(settings.embeddings)),
        ("text model", fs.models.bart(settings.text_labels)),
        *((f"classifier {attribute}", handle) for attribute, handle in classifiers.items()),
    ]


def _models(settings: Config) -> Iterator[Finding]:
    try:
        importlib.import_module("cv2")  # needs libraries of the system
        handles = model_handles(settings)
    except (ImportError, OSError) as error:
        yield "models", False, _how_to_install(error)
        return
    for name, handle in handles:
        try:
            with fs.models.local_only():
                yield name, True, f"{handle.name} in {handle.folder}"
        except ModelError as error:
            yield name, False, str(error)
        except (ImportError, OSError) as error:
            yield name, False, _how_to_install(error)


def _how_to_install(error: Exception) -> str:
    """Say which package or library cannot be loaded, and which command installs it."""
    text = str(error).splitlines()[0]
    if "libGL" in text or "libgthread" in text or "libglib" in text:
        return f"{text}: apt-get install libgl1 libglib2.0-0 (names may differ on your system)"
    module = (getattr(error, "name", None) or "torch").partition(".")[0]
    return f"{text}: pip install {_PACKAGES_OF.get(module, module)}"


def _disk(settings: Config) -> Finding:
    folder = settings.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{format_value(free / 1e9)} GB free below {settings.data_dir}"
    return (
        "disk",
        free > MIN_FREE,
        text if free > MIN_FREE else f"{text}: make room, or set data_dir to another disk",
    )


def _pictures(settings: Config) -> str:
    if settings.raw_dir.is_dir():
        return str(settings.raw_dir)
    how = (
        f"{settings.command('run')} draws the pictures"
        if settings.demo
        else "put your pictures there, or set raw_dir"
    )
    return f"{settings.raw_dir} does not exist yet: {how}"
