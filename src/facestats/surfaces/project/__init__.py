"""A project: its configuration, its folders, and the check before a run."""
