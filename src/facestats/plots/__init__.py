"""Figures of tables. Every function draws on one Axes and returns it; none computes a stage, saves or shows.

To add one: take the subject first, then the columns, then `ax`; use `new_axes` and `finish` of `style`, and
`draw_intervals` of `intervals`; write n in the title.
"""

from facestats.plots.audit import calibration_curve, coverage_curve, flip_bars, group_bars
from facestats.plots.bars import histogram, label_bars, probability_bars, score_histogram
from facestats.plots.clusters import profile_bars, relation_bars, stability_curve
from facestats.plots.composites import composite_grid, difference_map, eigenface_walk
from facestats.plots.faces import alignment_scatter, alignment_sheet, failure_sheet, status_bars
from facestats.plots.grids import cluster_sheet, face_grid
from facestats.plots.heatmaps import confusion, cooccurrence
from facestats.plots.maps import face_map
from facestats.plots.probes import gain_bars, learning_curve
from facestats.plots.ratings import rater_bars, rating_scatter, reliability_bars, residual_bars
from facestats.plots.schematics import data_flow, module_map
from facestats.plots.texts import disagreement_bars, text_coverage_bars

__all__ = [
    "alignment_scatter",
    "alignment_sheet",
    "calibration_curve",
    "cluster_sheet",
    "composite_grid",
    "confusion",
    "cooccurrence",
    "coverage_curve",
    "data_flow",
    "difference_map",
    "disagreement_bars",
    "eigenface_walk",
    "face_grid",
    "face_map",
    "failure_sheet",
    "flip_bars",
    "gain_bars",
    "group_bars",
    "histogram",
    "label_bars",
    "learning_curve",
    "module_map",
    "probability_bars",
    "profile_bars",
    "rater_bars",
    "rating_scatter",
    "relation_bars",
    "reliability_bars",
    "residual_bars",
    "score_histogram",
    "stability_curve",
    "status_bars",
    "text_coverage_bars",
]


def __dir__() -> list[str]:
    return __all__
