"""Fusion: a high-resolution hyperspectral cube from a low-resolution one and a high-resolution multispectral image."""
