"""FORPDN: first-order spectral roughness penalty in the wavelet domain."""
