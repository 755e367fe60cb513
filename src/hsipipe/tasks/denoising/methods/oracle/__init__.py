"""Projection on the truth's own subspace: a ceiling, not a rival."""
