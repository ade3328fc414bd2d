"""Stage 02: CLIP vectors of the aligned faces and of the whole pictures, and search by vector."""

from facestats.embeddings.embed import embed_faces, settings
from facestats.embeddings.search import query_vector, search_faces

VERSION = 1  # raise it when the same input would give another table

__all__ = ["embed_faces", "query_vector", "search_faces", "settings"]


def __dir__() -> list[str]:
    return __all__
