"""Stage 08: average faces, differences of groups, and eigenfaces, each with the list of its members."""

from facestats.composites.average import average_faces, average_groups, mirror, morph, sharpness_ratio
from facestats.composites.columns import columns, settings
from facestats.composites.difference import difference
from facestats.composites.eigenfaces import eigenfaces
from facestats.composites.provenance import read, save, tabulate
from facestats.composites.select import groups, select

VERSION = 2  # raise it when the same input would give another table

__all__ = [
    "average_faces",
    "average_groups",
    "columns",
    "difference",
    "eigenfaces",
    "groups",
    "mirror",
    "morph",
    "read",
    "save",
    "select",
    "settings",
    "sharpness_ratio",
    "tabulate",
]


def __dir__() -> list[str]:
    return __all__
