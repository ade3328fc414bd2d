"""Check a project before its first picture is opened, and report all problems together."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import facestats as fs
from facestats.core.config import ConfigError
from facestats.core.config_source import find_config
from facestats.core.protocols import ModelError
from facestats.inputs import CaptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from facestats.core.config import Config

_EXPECTED = (ValueError, OSError, ImportError, ModelError)  # all errors of our own are one of these


class PreflightError(ConfigError):
    """A project cannot be run as it is; the message lists every problem."""


class NoPicturesError(FileNotFoundError):
    """There is no picture; the message says where to put some, and how to see the demo."""


def check_project(config: Config, *, first: str = "", last: str = "") -> None:
    """Check that pictures, side files and models can be read.

    Parameters
    ----------
    config
        The project.
    first, last
        Numbers of the notebooks that will run; models that they do not need are not asked for.

    Raises
    ------
    NoPicturesError
        If there is no picture.
    ModelError
        If the only problem is a model.
    PreflightError
        If there are other problems; the message lists all of them.
    """
    try:
        fs.list_images(config.raw_dir)
    except FileNotFoundError as error:
        raise NoPicturesError(_no_pictures(config)) from error
    tried = (_try(check) for check in _checks(config, first or "00", last or "99"))
    # captions, truth and persons may stand in one file, whose fault is one problem
    found = list({str(error): error for error in tried if error is not None}.values())
    if not found:
        return
    if all(isinstance(error, ModelError) for error in found):
        raise ModelError("\n".join(map(str, found)))
    listed = "\n  - ".join(_text(error) for error in found)
    msg = f"{len(found)} problem{'s' * (len(found) > 1)} before the first picture:\n  - {listed}"
    raise PreflightError(msg)


def _no_pictures(config: Config) -> str:
    demo = find_config(demo=True).command("run")
    if config.source is not None and config.source.is_packaged:
        init = config.source.command("init", "my_project")
        where = f"there is no project in this folder. Make one with: {init}; it says where your pictures go."
    else:
        where = (
            f"there are no pictures in {config.raw_dir}. Copy your pictures there (any subfolders), or name their"
            f" folder as raw_dir in {config.config_file}; then run this again."
        )
    return f"{where} To see the demo, which needs no pictures and no download: {demo}"


def _checks(config: Config, first: str, last: str) -> Iterator[Callable[[], object]]:
    attributes, raw = config.attributes, config.raw_dir
    yield lambda: fs.list_captions(raw)
    yield lambda: fs.human_labels.read_truth(raw, attributes)
    yield lambda: fs.inputs.read_people(raw, config.ratings.person)
    yield lambda: fs.human_labels.read(config.labels_file, attributes, pictures=raw)
    yield lambda: fs.composites.columns(config)
    if config.ratings_file.is_file() or config.ratings.file is not None:
        yield lambda: fs.ratings.read(
            config.ratings_file,
            traits=config.ratings.traits,
            taken=attributes,
            pictures=raw,
            scale=config.ratings.scale,
        )
    if config.audit.file is not None:
        yield lambda: fs.human_labels.read_truth(config.audit.file or raw, attributes, pictures=raw)
    if first <= "01":
        yield lambda: fs.models.landmarker(config.faces).name
        yield lambda: fs.models.landmarker(config.faces).folder
    if first <= "03" and last >= "02":
        yield lambda: fs.models.clip(config.embeddings).folder
    if first <= "04" <= last:
        yield lambda: _text_model(config)
    for classifier in fs.models.classifiers(config.classifiers, attributes).values():
        yield functools.partial(getattr, classifier, "folder")


def _text_model(config: Config) -> object:
    try:
        captions = fs.list_captions(config.raw_dir)
    except CaptionError:  # reported by its own check
        return None
    return fs.models.bart(config.text_labels).folder if captions["text"].count() else None


def _try(check: Callable[[], object]) -> Exception | None:
    try:
        check()
    except _EXPECTED as error:
        return error
    return None


def _text(error: Exception) -> str:
    return str(error).replace("\n", "\n    ")
