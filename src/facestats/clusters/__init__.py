"""Stage 07: clusters of similar faces, two maps of the faces, and what the clusters have in common."""

from facestats.clusters.cluster import cluster_faces, map_faces, settings
from facestats.clusters.layout import project_pca, project_umap
from facestats.clusters.members import members, near_duplicates
from facestats.clusters.profile import names, profile, relations
from facestats.clusters.stability import stability

VERSION = 5  # raise it when the same input would give another table

__all__ = [
    "cluster_faces",
    "map_faces",
    "members",
    "names",
    "near_duplicates",
    "profile",
    "project_pca",
    "project_umap",
    "relations",
    "settings",
    "stability",
]


def __dir__() -> list[str]:
    return __all__
