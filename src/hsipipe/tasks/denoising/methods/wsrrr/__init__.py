"""WSRRR: wavelet-based sparse reduced-rank regression."""
