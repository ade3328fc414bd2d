"""facestats: from a folder of face or character pictures to tables, maps and average faces.

Each stage is a notebook, a module and a table of the same name; `ls notebooks/` is the data flow.
Labels are perceived attributes: what a model makes of a picture, not what a person is.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# public name -> module; loaded on first use, so that `import facestats` stays quick
_HOMES = {
    "CaptionError": "inputs.textfiles",
    "CharacterPipeline": "surfaces.pipeline.pipeline",
    "Config": "core.config",
    "LabelError": "human_labels.answers_file",
    "Store": "store.store",
    "TableError": "core.tables",
    "align_faces": "faces.align",
    "audit_calibration": "audit.calibration",
    "audit_crosstalk": "audit.prompts",
    "audit_labels": "audit.scores",
    "audit_options": "audit.scores",
    "audit_prompts": "audit.prompts",
    "audit_stability": "audit.stability",
    "audit_texts": "audit.prompts",
    "average_faces": "composites.average",
    "average_ratings": "ratings.reliability",
    "check_table": "core.tables",
    "classify_faces": "attributes.classify",
    "cluster_faces": "clusters.cluster",
    "cluster_members": "clusters.members",
    "cluster_stability": "clusters.cluster",
    "compare_groups": "composites.average",
    "confident": "core.tables",
    "eigenfaces": "composites.average",
    "embed_faces": "embeddings.embed",
    "embed_texts": "text_labels.label",
    "explore": "surfaces.notebooks.explore",
    "find_near_duplicates": "clusters.members",
    "fit_probes": "attributes.zero_shot",
    "fit_ratings": "ratings.fit",
    "label_attributes": "attributes.zero_shot",
    "label_by_hand": "surfaces.notebooks.label_widget",
    "label_sets": "audit.calibration",
    "label_texts": "text_labels.label",
    "list_captions": "inputs.captions",
    "list_composites": "composites.provenance",
    "list_findings": "audit.findings",
    "list_groups": "composites.select",
    "list_images": "inputs.listing",
    "list_modules": "schematics",
    "list_tables": "schematics",
    "load_config": "core.config",
    "load_probes": "attributes.probes",
    "load_ratings_model": "ratings.fit",
    "map_faces": "clusters.cluster",
    "merge_master": "master",
    "mirror_average": "composites.average",
    "morph_faces": "composites.average",
    "name_clusters": "clusters.profile",
    "pick_rows_to_label": "human_labels.sampling",
    "profile_clusters": "clusters.profile",
    "profile_residuals": "ratings.fit",
    "project_pca": "clusters.cluster",
    "project_umap": "clusters.cluster",
    "query_vector": "embeddings.search",
    "rate_faces": "ratings.fit",
    "rater_effects": "ratings.reliability",
    "rater_reliability": "ratings.reliability",
    "read_composite": "composites.provenance",
    "read_dataset": "inputs.datasets",
    "read_labels": "human_labels.labels",
    "read_people": "human_labels.truth",
    "read_ratings": "ratings.file",
    "read_truth": "human_labels.truth",
    "relate_clusters": "clusters.profile",
    "search_faces": "embeddings.search",
    "select_faces": "composites.select",
    "sharpness_ratio": "composites.average",
    "write_card": "audit.run_card",
    "write_label": "human_labels.answers_file",
}
_MODULES = {"models": "models", "plots": "plots", "tables": "core.tables", "testing": "testing"}

__all__ = ["__version__", *sorted({*_HOMES, *_MODULES})]  # noqa: PLE0604

if TYPE_CHECKING:
    from facestats import models as models
    from facestats import plots as plots
    from facestats.attributes.zero_shot import fit_probes as fit_probes
    from facestats.attributes.zero_shot import label_attributes as label_attributes
    from facestats.audit.scores import audit_labels as audit_labels
    from facestats.audit.scores import audit_options as audit_options
    from facestats.clusters.cluster import cluster_faces as cluster_faces
    from facestats.clusters.cluster import cluster_stability as cluster_stability
    from facestats.clusters.cluster import map_faces as map_faces
    from facestats.clusters.cluster import project_pca as project_pca
    from facestats.clusters.cluster import project_umap as project_umap
    from facestats.composites.average import average_faces as average_faces
    from facestats.composites.average import compare_groups as compare_groups
    from facestats.composites.average import eigenfaces as eigenfaces
    from facestats.composites.average import mirror_average as mirror_average
    from facestats.composites.average import morph_faces as morph_faces
    from facestats.composites.average import sharpness_ratio as sharpness_ratio
    from facestats.core import tables as tables
    from facestats import testing as testing
    from facestats.human_labels.answers_file import LabelError as LabelError
    from facestats.human_labels.answers_file import write_label as write_label
    from facestats.inputs.captions import list_captions as list_captions
    from facestats.audit.run_card import write_card as write_card
    from facestats.attributes.classify import classify_faces as classify_faces
    from facestats.core.config import Config as Config
    from facestats.core.config import load_config as load_config
    from facestats.inputs.datasets import read_dataset as read_dataset
    from facestats.clusters.profile import name_clusters as name_clusters
    from facestats.clusters.profile import profile_clusters as profile_clusters
    from facestats.clusters.profile import relate_clusters as relate_clusters
    from facestats.audit.findings import list_findings as list_findings
    from facestats.audit.stability import audit_stability as audit_stability
    from facestats.human_labels.labels import read_labels as read_labels
    from facestats.inputs.listing import list_images as list_images
    from facestats.clusters.members import cluster_members as cluster_members
    from facestats.clusters.members import find_near_duplicates as find_near_duplicates
    from facestats.schematics import list_modules as list_modules
    from facestats.schematics import list_tables as list_tables
    from facestats.ratings.reliability import average_ratings as average_ratings
    from facestats.ratings.reliability import rater_effects as rater_effects
    from facestats.ratings.reliability import rater_reliability as rater_reliability
    from facestats.human_labels.sampling import pick_rows_to_label as pick_rows_to_label
    from facestats.attributes.probes import load_probes as load_probes
    from facestats.audit.prompts import audit_crosstalk as audit_crosstalk
    from facestats.audit.prompts import audit_prompts as audit_prompts
    from facestats.audit.prompts import audit_texts as audit_texts
    from facestats.ratings.file import read_ratings as read_ratings
    from facestats.embeddings.search import query_vector as query_vector
    from facestats.embeddings.search import search_faces as search_faces
    from facestats.composites.select import list_groups as list_groups
    from facestats.composites.select import select_faces as select_faces
    from facestats.store.store import Store as Store
    from facestats.core.tables import TableError as TableError
    from facestats.core.tables import check_table as check_table
    from facestats.core.tables import confident as confident
    from facestats.inputs.textfiles import CaptionError as CaptionError
    from facestats.composites.provenance import list_composites as list_composites
    from facestats.composites.provenance import read_composite as read_composite
    from facestats.audit.calibration import audit_calibration as audit_calibration
    from facestats.audit.calibration import label_sets as label_sets
    from facestats.human_labels.truth import read_people as read_people
    from facestats.human_labels.truth import read_truth as read_truth
    from facestats.embeddings.embed import embed_faces as embed_faces
    from facestats.faces.align import align_faces as align_faces
    from facestats.master import merge_master as merge_master
    from facestats.ratings.fit import fit_ratings as fit_ratings
    from facestats.ratings.fit import load_ratings_model as load_ratings_model
    from facestats.ratings.fit import profile_residuals as profile_residuals
    from facestats.ratings.fit import rate_faces as rate_faces
    from facestats.surfaces.notebooks.explore import explore as explore
    from facestats.surfaces.notebooks.label_widget import label_by_hand as label_by_hand
    from facestats.surfaces.pipeline.pipeline import CharacterPipeline as CharacterPipeline
    from facestats.text_labels.label import embed_texts as embed_texts
    from facestats.text_labels.label import label_texts as label_texts


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"facestats.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(import_module(f"facestats.{_HOMES[name]}"), name)
    msg = f"module 'facestats' has no attribute {name!r}; it has {', '.join(__all__)}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
