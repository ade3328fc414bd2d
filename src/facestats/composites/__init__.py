"""Stage 08: average faces, their differences and components, each with the list of its members."""

from facestats.composites.average import (
    average_faces,
    difference,
    eigenfaces,
    mirror,
    morph,
    sharpness_ratio,
)
from facestats.composites.provenance import read, tabulate
from facestats.composites.select import groups, select, settings

VERSION = 1  # raise it when the same crops would give another picture

__all__ = [
    "average_faces",
    "difference",
    "eigenfaces",
    "groups",
    "mirror",
    "morph",
    "read",
    "select",
    "settings",
    "sharpness_ratio",
    "tabulate",
]
