"""Generalised Laplacian pyramid matched to the modulation transfer function."""
