"""The noisy input, returned as it is."""
