"""The demo: drawn characters whose attributes are known, with captions and ratings."""
