"""Stage 02: CLIP vectors of the aligned faces and of the whole pictures, and search by vector."""

from facestats.embeddings.embed import embed_faces, settings
from facestats.embeddings.search import query_vector, search_faces

VERSION = 1  # increase it when the same pictures would give another table

__all__ = ["embed_faces", "query_vector", "search_faces", "settings"]
