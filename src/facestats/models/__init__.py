"""Models behind the protocols of `core.protocols`: the only package that imports torch, transformers, LiteRT and mediapipe.

Each function returns a light handle: weights are loaded on first use.
"""

from __future__ import annotations

from facestats.models.bart import Bart, bart
from facestats.models.classifiers import HfClassifier, classifiers
from facestats.models.clip import Clip, clip
from facestats.models.domain import Domain, describe_domain
from facestats.models.landmarks import FaceMesh, landmarker
from facestats.models.regressors import Mlp, Ridge, mlp, regressor, ridge
from facestats.models.weights import local_only

__all__ = [
    "Bart",
    "Clip",
    "Domain",
    "FaceMesh",
    "HfClassifier",
    "Mlp",
    "Ridge",
    "bart",
    "classifiers",
    "clip",
    "describe_domain",
    "landmarker",
    "local_only",
    "mlp",
    "regressor",
    "ridge",
]


def __dir__() -> list[str]:
    return __all__
