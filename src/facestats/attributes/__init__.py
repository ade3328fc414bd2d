"""Stage 03: labels of perceived attributes, by prompts and probes on stored vectors, and by image classifiers."""

from facestats.attributes.classify import classify_faces
from facestats.attributes.fit_probes import fit_probes
from facestats.attributes.probes import load_probes
from facestats.attributes.zero_shot import label_attributes, settings
from facestats.core.label_columns import mask_low_scores

VERSION = 1  # raise it when the same input would give another table

__all__ = ["classify_faces", "fit_probes", "label_attributes", "load_probes", "mask_low_scores", "settings"]


def __dir__() -> list[str]:
    return __all__
