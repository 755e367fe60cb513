"""k-means on scaled, smoothed latents."""
