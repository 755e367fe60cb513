"""Principal components with a learned correction, as a denoiser of single spectra."""
