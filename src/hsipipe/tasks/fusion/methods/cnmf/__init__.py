"""Coupled non-negative matrix factorisation."""
