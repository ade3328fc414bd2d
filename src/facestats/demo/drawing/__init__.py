"""Drawing characters."""
