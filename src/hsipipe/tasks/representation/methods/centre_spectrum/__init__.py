"""Spectrum of the middle pixel."""
