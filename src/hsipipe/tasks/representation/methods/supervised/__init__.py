"""The same encoder, told the classes."""
