"""The same encoder, untrained."""
