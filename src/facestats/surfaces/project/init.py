"""Make the folder of a project: configuration, attributes, notebooks, and a place for the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from facestats.core.config import load_config
from facestats.core.config_source import PROJECT_FILE, ConfigError, packaged

if TYPE_CHECKING:
    import os

RAW_README = """# Your pictures

Put your pictures here, in any subfolders. Names may hold any letters. Nothing here is changed or deleted.

Files beside the pictures, all of them optional:

| file | what |
|---|---|
| `metadata.csv` (or `.jsonl`, `.parquet`) | column `file_name`, and any of: `text` (a caption), `true_gender`, `true_age`, ... (what is known), `person`, `licence` |
| `name.txt` beside `name.jpg` | a caption or tags |
| `ratings.csv` | ratings by people: `image_id`, `rater_id`, `trait`, `rating` |
| `labels.csv` | what people answered in notebook 03; facestats writes it |
"""


def init_project(folder: str | os.PathLike[str] = ".") -> list[tuple[Path, bool]]:
    """Make a project in a folder; files that are there stay as they are.

    Parameters
    ----------
    folder
        Folder of the project; it is made if it is missing.

    Returns
    -------
    Each file of the project, and whether it was written now.

    Raises
    ------
    ConfigError
        If the folder is a clone of facestats, or its configuration cannot be read.
    """
    root = Path(folder).expanduser()
    if (root / "config" / "demo.yaml").is_file():
        msg = (
            f"{root.absolute()} is a clone of facestats, which is a project already: put pictures into data/raw, and"
            " run `make run`. For a project of its own, name another folder: facestats init FOLDER"
        )
        raise ConfigError(msg)
    config = packaged("config")
    sources = {
        PROJECT_FILE: config / PROJECT_FILE,
        "attributes.yaml": config / "attributes.yaml",
        **{
            f"notebooks/{file.name}": file
            for file in sorted(packaged("notebooks").glob("[0-9][0-9]_*.ipynb"))
        },
    }
    done = [_write(root / name, source.read_bytes()) for name, source in sources.items()]
    load_config(root)  # a project that is there already must be usable
    done.append(_write(root / "data" / "raw" / "README.md", RAW_README.encode()))
    return done


def _write(file: Path, content: bytes) -> tuple[Path, bool]:
    """Write a file unless it exists."""
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("xb") as opened:
            opened.write(content)
    except FileExistsError:
        return file, False
    return file, True
