"""Load the configuration of the project; a notebook of an empty clone takes the demo, and says so."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from facestats.core.config import load_config as read_config
from facestats.core.config_source import PROJECT_FILE, VARIABLE, ConfigSource, find_config
from facestats.core.progress import say

if TYPE_CHECKING:
    import os

    from facestats.core.config import Config


def load_config(path: str | os.PathLike[str] | ConfigSource | None = None, *, demo: bool = False) -> Config:
    """Read the settings of a project.

    Parameters
    ----------
    path
        A YAML file, the folder of a project, or what ``find_config`` found. By default the first of these: ``$FACESTATS_CONFIG``;
        ``facestats.yaml`` or the ``config/default.yaml`` of a clone, in the working folder or the nearest one above
        it; the default that comes with facestats. Paths in the file are relative to its folder; ``${package}`` stands
        for the folder of the installed package.
    demo
        Whether to take the demo: drawn characters and toy models. A notebook that is opened in a clone of facestats
        takes the demo too as long as there are no pictures in ``data/raw``; it prints a line that says so.

    Returns
    -------
    The settings, one section per stage (``cfg.faces``, ``cfg.embeddings``, ...), with absolute paths.

    Raises
    ------
    ConfigError
        If the file cannot be read, or a setting is unknown or not allowed. The message names the file, the line, the
        key, what was found and what is valid.

    Examples
    --------
    >>> import json, tempfile
    >>> from pathlib import Path
    >>> import facestats as fs
    >>> attributes = fs.testing.example_project().attributes
    >>> settings = {"seed": 7, "attributes": {name: a.model_dump() for name, a in attributes.items()}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "facestats.yaml")
    ...     _ = file.write_text(json.dumps(settings))  # JSON is also YAML
    ...     cfg = fs.load_config(folder)
    >>> cfg.seed, list(cfg.attributes), cfg.faces.crop_size
    (7, ['age', 'hair_color'], 512)
    """
    source = find_config(path, demo=demo)
    config = read_config(source)
    if _is_open_notebook() and _is_empty_clone(config, source):
        config = read_config(find_config(demo=True))
        say(
            _ribbon(
                f"No pictures in {source.folder.parent / 'data' / 'raw'}: this is the demo, drawn characters and toy models."
            )
        )
        draw_demo(config)
    elif _is_open_notebook() and config.demo is not None:
        draw_demo(config)
    return config


def draw_demo(config: Config) -> None:
    """Draw the demo gallery if the configuration asks for one and there are no pictures."""
    if config.demo is None or has_files(config):
        return
    from facestats.demo.gallery import write_gallery

    say(f"drawing {config.demo.pictures} characters in {config.raw_dir}")
    write_gallery(config.raw_dir, n=config.demo.pictures, seed=config.demo.seed)


def has_files(config: Config) -> bool:
    """Whether the folder of pictures holds anything besides the README that comes with a project."""
    own = {"README.md", ".gitkeep", ".DS_Store"}
    return config.raw_dir.is_dir() and any(file.name not in own for file in config.raw_dir.iterdir())


def _is_empty_clone(config: Config, source: ConfigSource) -> bool:
    """Whether the configuration is that of a clone, found and not named, and its folder of pictures is empty."""
    named = source.why in ("given", f"${VARIABLE}") or source.is_demo
    return not named and not source.is_packaged and source.file.name != PROJECT_FILE and not has_files(config)


def _is_open_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def _ribbon(text: str) -> str:
    line = "=" * len(text)
    return f"{line}\n{text}\n{line}"
