"""Destriping alone."""
