"""Denoising: recover a cube from a noisy observation of it."""
