"""Support vector machine with a Gaussian kernel."""
