"""The training loop that all trained methods share."""
