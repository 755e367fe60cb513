"""Subspace MAP: the project's own fusion."""
