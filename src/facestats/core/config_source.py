"""Find the configuration of a project, and write commands that can be typed as they stand."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
VARIABLE = "FACESTATS_CONFIG"
# set beside VARIABLE for the kernel of a notebook: the folder of a project that has no configuration of its own
FOLDER_VARIABLE = "FACESTATS_FOLDER"
PROJECT_FILE = "facestats.yaml"


class ConfigError(ValueError):
    """The configuration cannot be used; the message names the file, the key, what was found and what is valid."""


@dataclass(frozen=True)
class ConfigSource:
    """The configuration file that a command uses.

    Parameters
    ----------
    file
        The YAML file.
    folder
        The folder to which paths in the file are relative.
    why
        How the file was found, for a message.
    is_packaged
        Whether the file belongs to facestats and not to a project; then `folder` lies in the working folder.
    is_demo
        Whether somebody asked for the demo.
    """

    file: Path
    folder: Path
    why: str
    is_packaged: bool = False
    is_demo: bool = False

    def __str__(self) -> str:
        return f"{self.file} ({self.why})"

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables by which another process finds the same configuration."""
        folder = {FOLDER_VARIABLE: str(self.folder)} if self.is_packaged else {}
        return {VARIABLE: str(self.file.resolve()), **folder}

    def command(self, *words: str) -> str:
        """Return a command line of facestats that leads to the same project from the working folder.

        Parameters
        ----------
        words
            The command and its options, such as ``"run", "--from", "03"``.
        """
        if self.is_demo:
            option = ["--demo"]
        elif self.is_packaged:
            option = []
        else:
            option = ["--config", _shorten(self.file)]
        return shlex.join([program(), words[0], *option, *words[1:]])


def program() -> str:
    """Return the path of the program facestats as it can be typed: its name, if the shell finds this very program."""
    name = "facestats.exe" if sys.platform == "win32" else "facestats"
    own = Path(sys.executable).parent / name
    known = shutil.which("facestats")
    if not own.is_file() or (known and Path(known).resolve() == own.resolve()):
        return "facestats"
    return _shorten(own)


def _shorten(path: Path) -> str:
    """Return a path relative to the working folder where it lies below it, else an absolute path."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
    try:
        return str(absolute.relative_to(Path.cwd()))
    except ValueError:
        return str(absolute)


def packaged(name: str) -> Path:
    """Return the path of `config` or `notebooks` that come with facestats."""
    installed = PACKAGE / "project" / name
    return installed if installed.exists() else PACKAGE.parents[1] / name  # a clone


def find_config(
    path: str | os.PathLike[str] | ConfigSource | None = None, *, demo: bool = False
) -> ConfigSource:
    """Find the configuration file.

    Parameters
    ----------
    path
        A file, the folder of a project, or what this function found before.
    demo
        Whether to take the demo: drawn characters and toy models.

    Returns
    -------
    The first of these that exists: `path`; the demo, if `demo` is true; ``$FACESTATS_CONFIG``; ``facestats.yaml`` or
    ``config/default.yaml`` in the working folder or the nearest one above it; the default that comes with facestats,
    with the folder ``data`` of the working folder.

    Raises
    ------
    ConfigError
        If both `path` and `demo` are given.

    Examples
    --------
    >>> from facestats.core.config_source import find_config
    >>> find_config(demo=True).file.name
    'demo.yaml'
    """
    if path is not None and demo:
        msg = f"the demo has a configuration of its own: leave out either --demo or --config {path}"
        raise ConfigError(msg)
    if isinstance(path, ConfigSource):
        return path
    if path is not None:
        return _given(Path(path).expanduser(), "given")
    if demo:
        own = next((f for f in _folders() if _is_clone(f)), None)
        return _demo_of(own) if own is not None else _packaged("demo.yaml", "the demo", is_demo=True)
    if os.environ.get(VARIABLE):
        return _from_environment()
    project = next((found for found in map(_project_in, _folders()) if found is not None), None)
    return project or _packaged(
        "default.yaml", "the default of facestats, because no facestats.yaml was found here or above"
    )


def _from_environment() -> ConfigSource:
    file, folder = Path(os.environ[VARIABLE]).expanduser(), os.environ.get(FOLDER_VARIABLE)
    if not folder:
        return _given(file, f"${VARIABLE}")
    is_demo = file.name == "demo.yaml"
    return ConfigSource(file, Path(folder), f"${VARIABLE}", is_packaged=True, is_demo=is_demo)


def _project_in(folder: Path) -> ConfigSource | None:
    if (file := folder / PROJECT_FILE).is_file():
        return ConfigSource(file, folder, "found")
    if _is_clone(folder):
        return ConfigSource(folder / "config" / "default.yaml", folder / "config", "found")
    return None


def _demo_of(clone: Path) -> ConfigSource:
    return ConfigSource(clone / "config" / "demo.yaml", clone / "config", "the demo", is_demo=True)


def _given(path: Path, why: str) -> ConfigSource:
    file = path / PROJECT_FILE if path.is_dir() else path
    return ConfigSource(file, file.resolve().parent, why)


def _packaged(name: str, why: str, *, is_demo: bool = False) -> ConfigSource:
    file = packaged("config") / name
    return ConfigSource(file, Path.cwd() / "config", why, is_packaged=True, is_demo=is_demo)


def _folders() -> tuple[Path, ...]:
    """The working folder and all above it."""
    return (Path.cwd(), *Path.cwd().parents)


def _is_clone(folder: Path) -> bool:
    """Whether a folder is a clone of facestats; other projects have a config/default.yaml too."""
    return all(
        (folder / "config" / name).is_file() for name in ("default.yaml", "demo.yaml", "attributes.yaml")
    )
