"""The best quadratic per-pixel map, fitted to the truth."""
