"""Views of a batch: one warp, and changes along the spectrum."""
