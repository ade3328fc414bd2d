"""One picture, one text or a batch of both, through all stages, with a cache."""
