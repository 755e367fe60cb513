"""The blind denoiser with what training can add to it."""
