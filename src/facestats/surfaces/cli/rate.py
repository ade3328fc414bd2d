"""Apply saved models of ratings to the stored faces of a project."""

from __future__ import annotations

from typing import TYPE_CHECKING

import facestats as fs
from facestats.core.display import count_of
from facestats.models.domain import describe, find_domain
from facestats.ratings.layout import PARTS
from facestats.ratings.model import SPEC, RatingsModels

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from facestats.core.config import Config


def rate_stored(config: Config, folders: Iterable[Path]) -> Iterator[str]:
    """Write table `ratings` with the traits of the models, and say what a reader should know about it.

    Parameters
    ----------
    config
        Settings of the project with the embeddings.
    folders
        Folders of models, or folders that hold such folders.

    Yields
    ------
    Which traits the table lost, how many faces are unlike those that each model knows, and what toy models mean.

    Raises
    ------
    ModelError
        If a model is missing, damaged, or of another encoder.
    FileNotFoundError
        If the faces are not embedded yet; the message is the command that does it.
    """
    store, clip = fs.Store(config.data_dir), fs.models.clip(config.embeddings)
    trained = [fs.ratings.load_model(folder, encoder=clip.name) for folder in _each(folders)]
    try:
        landmarks = store.scan("faces").select("image_id", "landmarks")
        rows = store.scan("embeddings").join(landmarks, on="image_id", how="left", validate="1:1")
        before = set(store.scan("ratings").collect_schema()) if store.provenance("ratings") else set()
    except FileNotFoundError as error:
        again = config.command("run", "--to", "02")
        msg = f"the faces of {config.data_dir} are not embedded yet. To embed them, type: {again}"
        raise FileNotFoundError(msg) from error
    models = trained[0] if len(trained) == 1 else RatingsModels(tuple(trained))
    table = store.build("ratings", rows, fs.ratings.rate_faces, model=models).collect()
    lost = sorted(c.removesuffix("_ood") for c in before - set(table.columns) if c.endswith("_ood"))
    if lost:
        yield f"table ratings no longer holds {', '.join(lost)}; to keep them, name their models by --model too"
    for one in trained:
        rated, unlike = table[one.trait].count(), int(table[f"{one.trait}{PARTS[-1]}"].sum() or 0)
        faces = f"{count_of(rated, 'face')} rated by {one.name}"
        yield f"{one.trait}: {faces}; {unlike:,} of them are unlike all that it was trained on, and their ratings mean little"
    if (domain := find_domain(config.embeddings.model)) is not None:
        yield describe(domain)


def _each(folders: Iterable[Path]) -> list[Path]:
    """List the folders of single models: a folder of several stands for them."""
    found: list[Path] = []
    for folder in folders:
        inside = [] if (folder / SPEC).is_file() else sorted(file.parent for file in folder.glob(f"*/{SPEC}"))
        found += inside or [folder]
    return list(dict.fromkeys(found))
