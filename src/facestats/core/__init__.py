"""Shared foundations: table contracts, settings, model protocols, worker processes, progress, small statistics."""
