"""Gram-Schmidt adaptive component substitution."""
