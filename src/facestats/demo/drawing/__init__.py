"""Draw characters."""
