"""Stage 05: ratings by people: how far raters agree, and a model of their mean."""

from facestats.ratings.file import read
from facestats.ratings.fit import fit_ratings, load_model, rate_faces, residuals, settings
from facestats.ratings.reliability import average, rater_effects, reliability

VERSION = 1  # raise it when the same vectors and ratings would give another table

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
