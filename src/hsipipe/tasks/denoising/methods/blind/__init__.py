"""The project's own blind denoiser."""
