"""The demo world: drawn characters with known truth, and what is said about them."""
