"""Low rank, then wavelet shrinkage of the components."""
