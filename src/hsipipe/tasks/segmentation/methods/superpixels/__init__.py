"""Superpixels, clustered by their mean features."""
