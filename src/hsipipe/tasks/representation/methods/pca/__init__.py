"""Principal components of mean spectra."""
