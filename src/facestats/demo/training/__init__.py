"""Training the two tiny models of the demo; not part of the wheel."""
