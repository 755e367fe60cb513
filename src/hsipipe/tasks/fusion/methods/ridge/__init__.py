"""Closed-form linear or quadratic regression."""
