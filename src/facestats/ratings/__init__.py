"""Stage 05: ratings by people: the agreement of the raters, and a model of their mean rating."""

from facestats.ratings.file import read
from facestats.ratings.fit import fit_ratings, load_model, rate_faces, residuals, settings
from facestats.ratings.reliability import average, rater_effects, reliability

VERSION = 1  # raise it when the same input would give another table

__all__ = [
    "average",
    "fit_ratings",
    "load_model",
    "rate_faces",
    "rater_effects",
    "read",
    "reliability",
    "residuals",
    "settings",
]


def __dir__() -> list[str]:
    return __all__
