"""Models behind the protocols of `core.protocols`: the only place that imports torch, transformers, mediapipe."""

from __future__ import annotations

from facestats.models.bart import Bart, bart
from facestats.models.clip import Clip, clip

__all__ = ["Bart", "Clip", "bart", "clip"]
