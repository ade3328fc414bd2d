"""facestats: from a folder of face or character pictures to tables, maps and average faces.

Each stage is a notebook, a package and a table of the same name; `ls notebooks/` is the data flow. The names of the
flow are at the top (``fs.align_faces``); everything else is reached by its noun (``fs.audit.calibration``).
Labels are perceived attributes: what a model makes of a picture, not what a person is.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> module; loaded on first use, so that `import facestats` stays quick
_FLOW = {
    "CharacterPipeline": "surfaces.pipeline.pipeline",
    "Store": "store.store",
    "align_faces": "faces",
    "average_faces": "composites",
    "cluster_faces": "clusters",
    "embed_faces": "embeddings",
    "explore": "surfaces.notebooks.explore",
    "export": "surfaces.export.write",
    "fit_ratings": "ratings",
    "label_attributes": "attributes",
    "label_by_hand": "surfaces.notebooks.label_widget",
    "label_texts": "text_labels",
    "list_captions": "inputs",
    "list_images": "inputs",
    "load_config": "surfaces.project.load",
    "map_faces": "clusters",
    "merge_master": "master",
    "project_umap": "clusters",
    "read_dataset": "inputs",
    "search_faces": "embeddings",
    "show": "core.display",
    "stop_here": "surfaces.notebooks.early_end",
}
_NOUNS = {
    "attributes": "attributes",
    "audit": "audit",
    "clusters": "clusters",
    "composites": "composites",
    "embeddings": "embeddings",
    "faces": "faces",
    "human_labels": "human_labels",
    "inputs": "inputs",
    "models": "models",
    "plots": "plots",
    "ratings": "ratings",
    "schematics": "schematics",
    "store": "store",
    "testing": "testing",
    "text_labels": "text_labels",
    "tables": "core.tables",
}

__all__ = ["__version__", *sorted({*_FLOW, *_NOUNS})]  # noqa: PLE0604

if TYPE_CHECKING:
    from facestats import attributes as attributes
    from facestats import audit as audit
    from facestats import clusters as clusters
    from facestats import composites as composites
    from facestats import embeddings as embeddings
    from facestats import faces as faces
    from facestats import human_labels as human_labels
    from facestats import inputs as inputs
    from facestats import models as models
    from facestats import plots as plots
    from facestats import ratings as ratings
    from facestats import schematics as schematics
    from facestats import store as store
    from facestats import testing as testing
    from facestats import text_labels as text_labels
    from facestats.attributes import label_attributes as label_attributes
    from facestats.clusters import cluster_faces as cluster_faces
    from facestats.clusters import map_faces as map_faces
    from facestats.clusters import project_umap as project_umap
    from facestats.composites import average_faces as average_faces
    from facestats.core import tables as tables
    from facestats.core.display import show as show
    from facestats.embeddings import embed_faces as embed_faces
    from facestats.embeddings import search_faces as search_faces
    from facestats.faces import align_faces as align_faces
    from facestats.inputs import list_captions as list_captions
    from facestats.inputs import list_images as list_images
    from facestats.inputs import read_dataset as read_dataset
    from facestats.master import merge_master as merge_master
    from facestats.ratings import fit_ratings as fit_ratings
    from facestats.store.store import Store as Store
    from facestats.surfaces.export.write import export as export
    from facestats.surfaces.notebooks.early_end import stop_here as stop_here
    from facestats.surfaces.notebooks.explore import explore as explore
    from facestats.surfaces.notebooks.label_widget import label_by_hand as label_by_hand
    from facestats.surfaces.pipeline.pipeline import CharacterPipeline as CharacterPipeline
    from facestats.surfaces.project.load import load_config as load_config
    from facestats.text_labels import label_texts as label_texts


def __getattr__(name: str) -> Any:
    if name in _NOUNS:
        return import_module(f"facestats.{_NOUNS[name]}")
    if name in _FLOW:
        return getattr(import_module(f"facestats.{_FLOW[name]}"), name)
    msg = f"module 'facestats' has no attribute {name!r}; it has {', '.join(__all__)}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
