"""Reproducible hyperspectral imaging: from scenes to a paper's tables."""

__version__ = "0.1.0"
