"""Stage 02: CLIP vectors of the aligned face and of the whole picture, and the search among them."""

from facestats.embeddings.embed import embed_faces, settings
from facestats.embeddings.search import query_vector, search_faces

VERSION = 1  # raise it when the same pictures would give another table

__all__ = ["embed_faces", "query_vector", "search_faces", "settings"]
