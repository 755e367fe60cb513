"""Segmentation: spectra compressed, clustered and classified, pixel by pixel."""
