"""SpectraMorph: latents of a small network per pixel, mixed with fixed endmembers."""
