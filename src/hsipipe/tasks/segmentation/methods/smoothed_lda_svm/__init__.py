"""Discriminant analysis and support vectors together, smoothed within the image's edges."""
