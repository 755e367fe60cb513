"""Representation: embeddings of hyperspectral images learned without labels, and what they are worth."""
