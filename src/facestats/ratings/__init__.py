"""Stage 05: ratings by people: the agreement of the raters, and a model of their mean rating."""

from facestats.ratings.apply import load_model, load_models, rate_faces
from facestats.ratings.file import read
from facestats.ratings.fit import fit_ratings, group_column, residuals, settings
from facestats.ratings.reliability import average, rater_effects, reliability
from facestats.ratings.traits import check_traits, table_settings, tabulate, tabulate_faces

VERSION = 1  # raise it when the same input would give another table

__all__ = [
    "average",
    "check_traits",
    "fit_ratings",
    "group_column",
    "load_model",
    "load_models",
    "rate_faces",
    "rater_effects",
    "read",
    "reliability",
    "residuals",
    "settings",
    "table_settings",
    "tabulate",
    "tabulate_faces",
]


def __dir__() -> list[str]:
    return __all__
