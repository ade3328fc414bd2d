"""Doors into facestats; all of them call the functions that the notebooks call."""
