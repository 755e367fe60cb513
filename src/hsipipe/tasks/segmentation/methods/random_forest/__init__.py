"""Random forest."""
