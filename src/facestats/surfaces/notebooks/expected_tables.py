"""The calls of the notebooks as data, from which `facestats status` learns how each table would be made now.

This is the only place beside the notebooks that lists the calls of the stages; a test compares the two.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import polars as pl

import facestats as fs
from facestats.attributes.probes import probes_name
from facestats.core.protocols import ModelError
from facestats.core.tables import FINGERPRINT, KEY
from facestats.ratings.model import SEPARATOR, RatingsModel, RatingsModels
from facestats.store.fingerprint import describe_stage, describe_write
from facestats.store.locks import StoreError
from facestats.store.status import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from facestats.core.config import Config
    from facestats.models import Bart, Clip, HfClassifier


def table_states(config: Config) -> pl.DataFrame:
    """List every table with its state, for the pictures and settings as they are now; see :meth:`facestats.Store.status`."""
    return fs.Store(config.data_dir).status(expected_tables(config))


def describe_stale(states: pl.DataFrame, config: Config) -> str:
    """Say which of the tables in `states` are stale, why, and what to type; an empty text if none is."""
    stale = states.filter(state="stale")
    if stale.is_empty():
        return ""
    listed = "; ".join(f"{table} ({why})" for table, why in stale.select("table", "why").iter_rows())
    again = config.command("run", "--from", str(stale["run_from"].drop_nulls().min() or "01"))
    return f"stale, because something has changed since: {listed}. To make them again, type: {again}"


def expected_tables(config: Config) -> dict[str, Expected]:
    """Describe how each stage would run now; loads and downloads no weights, and computes nothing.

    Parameters
    ----------
    config
        Settings of the project.

    Returns
    -------
    For each table how it would be made now, with its input rows where these are pictures or captions.
    """
    # first of all, because there may be no pictures: importing the libraries of the models takes seconds
    images, captions = fs.list_images(config.raw_dir), fs.list_captions(config.raw_dir)
    clip = _name(fs.models.clip(config.embeddings))
    bart = _name(fs.models.bart(config.text_labels)) if captions["text"].count() else None
    mesh = _landmarker_name(config)
    human = fs.human_labels.read(config.labels_file, config.attributes, pictures=config.raw_dir)
    truth = fs.human_labels.read_truth(
        config.audit.file or config.raw_dir, config.attributes, pictures=config.raw_dir
    )
    prompts, probes = fs.attributes.settings(config), _expected_probes(config, clip)
    tables = {
        "faces": _stage(fs.align_faces, images, landmarker=mesh, **fs.faces.settings(config)),
        "embeddings": _stage(fs.embed_faces, encoder=clip, **fs.embeddings.settings(config)),
        "attributes": _stage(fs.label_attributes, encoder=clip, **prompts, probes=probes),
        "text_labels": _stage(fs.label_texts, captions, classifier=bart, **fs.text_labels.settings(config)),
        "master": _stage(fs.merge_master, human=human, captions=captions),
        "clusters": _stage(fs.map_faces, **fs.clusters.settings(config)),
        "composites": Expected(describe_write(fs.composites.tabulate, fs.composites.settings(config, truth))),
    }
    if truth.height or fs.Store(config.data_dir).provenance("audit"):  # without truth, nothing is scored
        settings = fs.audit.settings(config, truth)
        tables["audit"] = Expected(describe_write(fs.audit.accuracy, settings))
    if config.text_labels.vectors:
        tables["text_embeddings"] = _stage(fs.text_labels.embed_texts, captions, encoder=clip)
    if (models := _trained_models(config)) is not None:
        tables["ratings"] = _stage(fs.ratings.rate_faces, model=models)
    with suppress(ValueError, OSError):  # ratings that cannot be read make no table
        settings = fs.ratings.table_settings(config, _ratings(config))
        tables["reliability"] = Expected(describe_write(fs.ratings.tabulate, settings))
        tables["rated_faces"] = Expected(describe_write(fs.ratings.tabulate_faces, settings))
    if classifiers := _classifiers(config):
        tables["classifications"] = _stage(fs.attributes.classify_faces, classifiers=classifiers)
    return tables


def _stage(func: Callable[..., Any], rows: pl.DataFrame | None = None, **params: Any) -> Expected:
    """Describe the call of a notebook: function, parameters, and rows that do not come from a stored table."""
    return Expected(describe_stage(func, params), rows)


def _landmarker_name(config: Config) -> str:
    """Name of the landmarker; one that cannot be used here makes the faces stale, and the other tables can be read."""
    try:
        return fs.models.landmarker(config.faces).name
    except ModelError:
        return f"{config.faces.landmarker} (not available here)"


def _name(model: Clip | Bart | HfClassifier) -> str:
    """Name of a model, which stands for the model in a description; nothing is downloaded to find it."""
    try:
        with fs.models.local_only():
            return model.name
    except ModelError:
        return f"{model.settings.full_name} (not available here)"


def _classifiers(config: Config) -> dict[str, str]:
    """Names of the trained classifiers by attribute."""
    if not config.classifiers:
        return {}
    handles = fs.models.classifiers(config.classifiers, config.attributes)
    return {attribute: _name(handle) for attribute, handle in handles.items()}


def _ratings(config: Config) -> pl.DataFrame:
    return fs.ratings.read(
        config.ratings_file,
        traits=config.ratings.traits,
        taken=config.attributes,
        pictures=config.raw_dir,
        scale=config.ratings.scale,
    )


def _trained_models(config: Config) -> RatingsModels | None:
    """The models that notebook 05 saved last for the traits in table `ratings`, if there are any."""
    stage = fs.Store(config.data_dir).provenance("ratings").get("stage", {})
    names = str(stage.get("params", {}).get("model", "")).split(SEPARATOR)  # ratings:trait@hash
    folders = [config.models_dir / name.removeprefix("ratings:").rpartition("@")[0] for name in names]
    if names == [""] or not all(folder.is_dir() for folder in folders):
        return None
    with suppress(ModelError):  # notebook 05 trains it again
        return RatingsModels(tuple(RatingsModel.load(folder) for folder in folders))
    return None


def _expected_probes(config: Config, encoder: str) -> str:
    """Name of the probes that notebook 03 would fit now."""
    try:
        vectors = fs.Store(config.data_dir).scan("embeddings").select(KEY, FINGERPRINT).collect()
    except (FileNotFoundError, StoreError):  # a damaged table is reported as such
        vectors = pl.DataFrame(schema={KEY: pl.String, FINGERPRINT: pl.UInt64})
    truth = fs.human_labels.read_truth(config.raw_dir, config.attributes)
    people = fs.inputs.read_people(config.raw_dir, config.ratings.person)
    labels = fs.human_labels.read(
        config.labels_file, config.attributes, truth=truth, people=people, pictures=config.raw_dir
    )
    return probes_name(vectors, labels, encoder, attributes=config.attributes, seed=config.seed)
