"""Label one picture, one text or a batch of both, through all stages and with a cache."""
