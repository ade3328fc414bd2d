"""Stage 01: find the face in each picture, align it, write the crop, and measure its quality."""

from facestats.faces.align import align_faces, settings

VERSION = 3  # raise it when the same input would give another table

__all__ = ["align_faces", "settings"]


def __dir__() -> list[str]:
    return __all__
