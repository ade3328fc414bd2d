"""Stage 01: find the face in each picture, align it, write the crop, and measure its quality."""

from facestats.faces.align import align_faces, settings

VERSION = 2  # increase it when the same pictures would give another table

__all__ = ["align_faces", "settings"]
