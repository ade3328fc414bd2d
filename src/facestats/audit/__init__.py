"""Stage 09: measure how far labels can be trusted, for which groups of faces, and what goes wrong."""

from facestats.audit.accuracy import accuracy, settings
from facestats.audit.calibration import calibration, label_sets
from facestats.audit.changed_crops import changed_crops
from facestats.audit.crosstalk import crosstalk
from facestats.audit.findings import findings
from facestats.audit.options import options
from facestats.audit.prompts import prompts
from facestats.audit.run_card import write_card
from facestats.audit.stability import stability
from facestats.audit.texts import texts

VERSION = 3  # raise it when the same input would give another table

__all__ = [
    "accuracy",
    "calibration",
    "changed_crops",
    "crosstalk",
    "findings",
    "label_sets",
    "options",
    "prompts",
    "settings",
    "stability",
    "texts",
    "write_card",
]


def __dir__() -> list[str]:
    return __all__
