"""Gaussian mixture of latents."""
