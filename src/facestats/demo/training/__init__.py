"""Train the two tiny models of the demo; this package is in the repository, but not in the wheel."""
