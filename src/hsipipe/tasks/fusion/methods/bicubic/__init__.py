"""Bicubic interpolation of the HSI."""
