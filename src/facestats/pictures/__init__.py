"""Pixels: decoding, paths, the geometry of faces, crops."""
