"""Pixels: decoding, paths as text, the geometry of faces, crops."""
