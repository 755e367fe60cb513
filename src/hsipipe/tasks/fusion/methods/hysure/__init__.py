"""Convex subspace fusion with vector total variation."""
